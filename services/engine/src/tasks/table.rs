//! The table of background tasks: one row each.

/// What becomes of a server when a task fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The task begins again after a pause, longer after every failure in a row. What it does stands still meanwhile.
    Restart,
    /// The server finishes what is under way and stops.
    StopServer,
}

/// What makes a task end when the server stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndsWith {
    /// It ends as soon as the server begins to stop.
    Drain,
    /// It goes on until the log is closed, so that nothing that was still written is missing.
    Log,
}

/// A background task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Follows the log into the read model of tickets.
    TicketView,
    /// Follows the log into the read model of customers.
    CustomerView,
    /// Follows the log into the read model of conformance.
    ConformanceView,
    /// Contends for the lease where several servers share a log.
    Lease,
    /// Takes in erasures that another server was asked for.
    Erasures,
    /// Takes in emergencies that another server was told of.
    Emergencies,
    /// Closes each day when it is over.
    Days,
    /// Sends what one stream must do because of another.
    Reactions,
    /// Sends what falls due.
    Timers,
    /// Tells what runs beside the server whether this server leads.
    SidecarLead,
    /// Publishes events to Kafka.
    KafkaRelay,
    /// Takes facts in from Kafka.
    KafkaFacts,
    /// Tells subscribers that the log has grown.
    Streams,
    /// Lets health follow the tasks.
    Health,
    /// Accepts connections and answers them.
    Serving,
}

/// What is to be known of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in log lines and in health.
    pub name: &'static str,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// What ends it when the server stops.
    pub ends_with: EndsWith,
    /// What is missing while it does not run.
    pub while_down: &'static str,
}

impl Task {
    /// The table.
    #[must_use]
    #[rustfmt::skip]
    pub const fn row(self) -> Row {
        use EndsWith::{Drain, Log};
        use OnFailure::{Restart, StopServer};
        match self {
            //                          name                on failure  ends with  while it is down
            Self::TicketView      => row("ticket view",      Restart,    Log,   "lists of tickets and what falls due are as old as the failure; reads of them are refused"),
            Self::CustomerView    => row("customer view",    Restart,    Log,   "customers are not found by phone, so nothing is taken in"),
            Self::ConformanceView => row("conformance view", Restart,    Log,   "the boards of conformance are refused"),
            Self::Lease           => row("lease",            Restart,    Drain, "another server takes over what needs one only; where there is none, nothing happens by itself"),
            Self::Erasures        => row("erasures",         Restart,    Drain, "this server may still open texts whose key another server has erased"),
            Self::Emergencies     => row("emergencies",      Restart,    Drain, "new tickets miss the policy of an emergency that another server was told of"),
            Self::Days            => row("days",             Restart,    Drain, "days that are over are not closed, and no head is signed"),
            Self::Reactions       => row("reactions",        Restart,    Drain, "what one stream owes another waits: merges, problems, standing rules, erasures"),
            Self::Timers          => row("timers",           Restart,    Drain, "warnings and breaches wait; a command on the ticket records them before itself"),
            Self::SidecarLead     => row("sidecar lead",     Restart,    Drain, "what runs beside the server does not hear that another server leads: two may relay, or none"),
            Self::KafkaRelay      => row("kafka relay",      Restart,    Drain, "readers of Kafka see no new events"),
            Self::KafkaFacts      => row("kafka facts",      Restart,    Drain, "facts of other systems wait in Kafka"),
            Self::Streams         => row("streams",          Restart,    Drain, "subscribers hear of new events only with a heartbeat"),
            Self::Health          => row("health",           Restart,    Drain, "health tells what it told last"),
            Self::Serving         => row("serving",          StopServer, Drain, "nobody is answered"),
        }
    }
}

const fn row(
    name: &'static str,
    on_failure: OnFailure,
    ends_with: EndsWith,
    while_down: &'static str,
) -> Row {
    Row { name, on_failure, ends_with, while_down }
}
