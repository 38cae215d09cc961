//! The clocks as a table, a row a clock: what starts, meets and cancels it. Decisions, explanations and trials follow it, and
//! nobody has another copy. A test renders the rows and compares them with this page.
//!
//! | clock | 中文 | about | starts at | met by | cancelled by | may pause | breach bars a pause | late is | ladder | statutory |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | ticket | 全程时限 | the ticket | intake or reopening; next round after feedback had passed | feedback passed | — | yes | yes | nobody by it alone | no | no |
//! | appealable | 可申诉时限 | the ticket | intake or reopening; dissatisfied answer while one runs (due at once) | feedback passed | dissatisfied answer | no | yes | nobody by it alone | no | yes |
//! | contact | 首次联系时限 | the ticket | intake or reopening of a customer nobody talked with yet | talk with the customer; any answer of the customer | — | no | no | nobody by it alone | no | no |
//! | answer | 投诉答复时限 | the ticket | intake or reopening of a complaint | any answer of the customer | — | yes | yes | nobody by it alone | no | no |
//! | repair | 障碍修复时限 | the ticket | intake or reopening of a fault that is not up, while none runs; next round after feedback had passed of a fault that is not up, while none runs | service up | told that it cannot be given | yes | yes | nobody by it alone | no | no |
//! | activation | 装移机时限 | the ticket | intake or reopening of an install that is not activated, while none runs (the promised date); next round after feedback had passed of an install that is not activated, while none runs (the promised date) | activated | told that it cannot be given | yes | yes | nobody by it alone | no | no |
//! | restore | 缴费复机时限 | the ticket | arrears paid while none runs | service up, also before it starts | told that it cannot be given | yes | yes | nobody by it alone | no | no |
//! | outside | 转办件回执时限 | an outside request | hand-over (the body's deadline); reopening while a receipt is owed while none runs (the body's deadline if ahead) | final receipt | merge | no | no | nobody by it alone | yes | no |
//! | order | 督办单时限 | an order | issued, or reply sent back (dispatch's deadline) | reply | released, recalled, return granted | yes | yes | the order's unit | yes | no |
//! | stage | 环节时限 | a stage | stage entered | stage done | way back behind the stage | yes | yes | the stage's department | yes | no |
//! | closing | 办结时限 | the ticket | feedback passed | closed | next round | yes | yes | nobody by it alone | no | no |
//!
//! An end of the ticket cancels every clock that runs, but those of outside requests, whose receipts are owed still; and a merge takes over an earlier deadline of a clock about the ticket. When
//! a clock is due, when it warns and for which codes it pauses is the policy's to say ([`crate::policy`]). Clocks that one moment
//! starts are numbered in the order of the rows.

use jiff::Timestamp;

use super::{Subject, Trigger};
use crate::ticket::state::Ticket;
use crate::words::{ClockKind, Kind};

/// What a clock is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The ticket as a whole.
    Ticket,
    /// One of its stages.
    Stage,
    /// One of its orders.
    Order,
    /// An outside body's request.
    Request,
}

impl About {
    /// Whether it is this.
    #[must_use]
    pub fn fits(self, subject: Subject) -> bool {
        match subject {
            Subject::Ticket => self == Self::Ticket,
            Subject::Stage(_) => self == Self::Stage,
            Subject::Order(_) => self == Self::Order,
            Subject::Request(_) => self == Self::Request,
        }
    }

    /// As the table says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Ticket => "the ticket",
            Self::Stage => "a stage",
            Self::Order => "an order",
            Self::Request => "an outside request",
        }
    }
}

/// On which tickets a trigger starts a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// On every one.
    Always,
    /// Where nobody has talked with the customer yet.
    NotContacted,
    /// On complaints.
    Complaint,
    /// On faults whose service is not up. Facts may have come while an import's clocks slept, or before a finding reopened it.
    FaultNotUp,
    /// On installs that are not activated.
    InstallNotActivated,
    /// Where no such clock runs.
    NoneRuns,
    /// Where such a clock runs, whose place the new one takes.
    OneRuns,
}

impl Condition {
    /// Whether it holds.
    #[must_use]
    pub fn holds(self, ticket: &Ticket, kind: ClockKind, subject: Subject) -> bool {
        let runs = || ticket.clocks.iter().any(|clock| clock.is(kind, subject) && clock.is_live());
        match self {
            Self::Always => true,
            Self::NotContacted => !ticket.contacted,
            Self::Complaint => ticket.kind() == Kind::Complaint,
            Self::FaultNotUp => ticket.kind() == Kind::Fault && ticket.fault.service_up.is_none() && !runs(),
            Self::InstallNotActivated => {
                ticket.kind() == Kind::Install && !ticket.install.is_activated() && !runs()
            }
            Self::NoneRuns => !runs(),
            Self::OneRuns => runs(),
        }
    }

    /// As the table says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Always => "",
            Self::NotContacted => "of a customer nobody talked with yet",
            Self::Complaint => "of a complaint",
            Self::FaultNotUp => "of a fault that is not up, while none runs",
            Self::InstallNotActivated => "of an install that is not activated, while none runs",
            Self::NoneRuns => "while none runs",
            Self::OneRuns => "while one runs",
        }
    }
}

/// Who sets how long a clock may run. Where they set nothing, the policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The policy.
    Policy,
    /// The date promised to an install's customer. One that has passed is not started again: an import or a reopening fires no
    /// false breach.
    Promise,
    /// The outside body's deadline.
    Body,
    /// The outside body's deadline, where it lies ahead.
    BodyAhead,
    /// Dispatch. No event tells its deadline, so the decision that issues the order starts the clock.
    Dispatch,
    /// Nobody: due at once.
    AtOnce,
}

impl SetBy {
    /// As the table says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Policy => "",
            Self::Promise => "the promised date",
            Self::Body => "the body's deadline",
            Self::BodyAhead => "the body's deadline if ahead",
            Self::Dispatch => "dispatch's deadline",
            Self::AtOnce => "due at once",
        }
    }
}

/// What starts a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRule {
    /// At what.
    pub on: Trigger,
    /// Where.
    pub when: Condition,
    /// Who sets its target.
    pub set_by: SetBy,
}

impl StartRule {
    const fn on(on: Trigger) -> Self {
        Self { on, when: Condition::Always, set_by: SetBy::Policy }
    }

    const fn when(self, when: Condition) -> Self {
        Self { when, ..self }
    }

    const fn set_by(self, set_by: SetBy) -> Self {
        Self { set_by, ..self }
    }
}

/// Who is late with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The stage's department, which a breach involves; in reply nobody, as orders have clocks of their own.
    Department,
    /// The order's unit.
    Unit,
    /// Nobody by this clock alone.
    Nobody,
}

impl Late {
    /// As the table says it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Department => "the stage's department",
            Self::Unit => "the order's unit",
            Self::Nobody => "nobody by it alone",
        }
    }
}

/// A clock.
#[derive(Clone, Copy, Debug)]
pub struct ClockRow {
    /// Which.
    pub kind: ClockKind,
    /// Its Chinese name.
    pub chinese: &'static str,
    /// What it is about.
    pub about: About,
    /// What starts it.
    pub starts: &'static [StartRule],
    /// What it waits for.
    pub met_by: &'static [Trigger],
    /// What makes sure that it will not come.
    pub cancelled_by: &'static [Trigger],
    /// What it waits for may have happened already when it starts, at this moment.
    pub already: Option<fn(&Ticket, Timestamp) -> Option<Timestamp>>,
    /// A policy may let it pause.
    pub pauses: bool,
    /// After its breach the ticket is not paused any more, as long as what it waits for is outstanding.
    pub breach_bars_pause: bool,
    /// Who is late with it.
    pub late: Late,
    /// It has the ladder 催办 → 催办通知书 → 通报批评 → 挂牌督办 → 约谈; a stage's only where the stage is a department's.
    pub ladder: bool,
    /// Only the law sets it; no policy of the operator's may.
    pub statutory: bool,
}

const OPENED: StartRule = StartRule::on(Trigger::Opened);

/// The rows, in the order in which clocks that start together are numbered.
pub static TABLE: [ClockRow; ClockKind::ALL.len()] = [
    ClockRow {
        kind: ClockKind::Ticket,
        chinese: "全程时限",
        about: About::Ticket,
        starts: &[OPENED, StartRule::on(Trigger::RoundRepeated)],
        met_by: &[Trigger::FeedbackPassed],
        cancelled_by: &[Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Appealable,
        chinese: "可申诉时限",
        about: About::Ticket,
        starts: &[
            OPENED,
            StartRule::on(Trigger::Dissatisfied).when(Condition::OneRuns).set_by(SetBy::AtOnce),
        ],
        met_by: &[Trigger::FeedbackPassed],
        cancelled_by: &[Trigger::Dissatisfied, Trigger::Ended],
        already: None,
        pauses: false,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: true,
    },
    ClockRow {
        kind: ClockKind::Contact,
        chinese: "首次联系时限",
        about: About::Ticket,
        starts: &[OPENED.when(Condition::NotContacted)],
        met_by: &[Trigger::Talked, Trigger::Answered],
        cancelled_by: &[Trigger::Ended],
        already: None,
        pauses: false,
        breach_bars_pause: false,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Answer,
        chinese: "投诉答复时限",
        about: About::Ticket,
        starts: &[OPENED.when(Condition::Complaint)],
        met_by: &[Trigger::Answered],
        cancelled_by: &[Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Repair,
        chinese: "障碍修复时限",
        about: About::Ticket,
        starts: &[
            OPENED.when(Condition::FaultNotUp),
            StartRule::on(Trigger::RoundRepeated).when(Condition::FaultNotUp),
        ],
        met_by: &[Trigger::ServiceUp],
        cancelled_by: &[Trigger::NotProvided, Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Activation,
        chinese: "装移机时限",
        about: About::Ticket,
        starts: &[
            OPENED.when(Condition::InstallNotActivated).set_by(SetBy::Promise),
            StartRule::on(Trigger::RoundRepeated).when(Condition::InstallNotActivated).set_by(SetBy::Promise),
        ],
        met_by: &[Trigger::Activated],
        cancelled_by: &[Trigger::NotProvided, Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Restore,
        chinese: "缴费复机时限",
        about: About::Ticket,
        starts: &[StartRule::on(Trigger::ArrearsPaid).when(Condition::NoneRuns)],
        met_by: &[Trigger::ServiceUp],
        cancelled_by: &[Trigger::NotProvided, Trigger::Ended],
        already: Some(|ticket, from| ticket.fault.service_up.map(|(up, _)| up).filter(|up| *up >= from)),
        pauses: true,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Outside,
        chinese: "转办件回执时限",
        about: About::Request,
        starts: &[
            StartRule::on(Trigger::HandedOver).set_by(SetBy::Body),
            StartRule::on(Trigger::StillOwed).when(Condition::NoneRuns).set_by(SetBy::BodyAhead),
        ],
        met_by: &[Trigger::ReceiptGiven],
        cancelled_by: &[Trigger::HandedOn],
        already: None,
        pauses: false,
        breach_bars_pause: false,
        late: Late::Nobody,
        ladder: true,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Order,
        chinese: "督办单时限",
        about: About::Order,
        starts: &[StartRule::on(Trigger::OrderIssued).set_by(SetBy::Dispatch)],
        met_by: &[Trigger::OrderReplied],
        cancelled_by: &[Trigger::OrderEnded, Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Unit,
        ladder: true,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Stage,
        chinese: "环节时限",
        about: About::Stage,
        starts: &[StartRule::on(Trigger::StageEntered)],
        met_by: &[Trigger::StageDone],
        cancelled_by: &[Trigger::StageLeft, Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Department,
        ladder: true,
        statutory: false,
    },
    ClockRow {
        kind: ClockKind::Closing,
        chinese: "办结时限",
        about: About::Ticket,
        starts: &[StartRule::on(Trigger::FeedbackPassed)],
        met_by: &[Trigger::Closed],
        cancelled_by: &[Trigger::RoundOpened, Trigger::Ended],
        already: None,
        pauses: true,
        breach_bars_pause: true,
        late: Late::Nobody,
        ladder: false,
        statutory: false,
    },
];

/// Where each kind's row is; that every kind has one is checked when this is compiled.
const PLACES: [usize; TABLE.len()] = {
    let mut places = [TABLE.len(); TABLE.len()];
    let mut place = 0;
    while place < TABLE.len() {
        places[TABLE[place].kind as usize] = place;
        place += 1;
    }
    let mut kind = 0;
    while kind < TABLE.len() {
        assert!(places[kind] < TABLE.len());
        kind += 1;
    }
    places
};

impl ClockKind {
    /// Its row in the clocks' table.
    #[must_use]
    pub const fn row(self) -> &'static ClockRow {
        &TABLE[PLACES[self as usize]]
    }
}
