//! The words that all rules share, each a plain list: what kind of case, where it came in, which stage, which clock, whose role.
//! No state and no rule; this file imports nothing of ours.

use serde::{Deserialize, Serialize};

/// Defines enums of words, each with its name: what policies, lists, errors and stored rows call it.
macro_rules! words {
    ($($(#[$doc:meta])* $word:ident { $($(#[$about:meta])* $one:ident = $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $word {
            $($(#[$about])* #[serde(rename = $name)] $one,)*
        }

        impl $word {
            /// Every one, in order.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$one),*];

            /// Its name in policies, lists, errors and rows.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$one => $name,)*
                }
            }
        }
    )*};
}

words! {
    /// What kind of case a ticket is.
    Kind {
        /// 投诉.
        Complaint = "complaint",
        /// 障碍申告.
        Fault = "fault",
        /// 装移机.
        Install = "install",
    }

    /// Where the case came in.
    Channel {
        /// 1000, the business hotline for large accounts.
        Hotline1000 = "hotline1000",
        /// 10000, the unified service hotline.
        Hotline10000 = "hotline10000",
        /// 112, fault reports.
        Desk112 = "desk112",
        /// 114, directory enquiries (outsourced).
        Desk114 = "desk114",
        /// 170, billing enquiries.
        Line170 = "line170",
        /// 180, complaints.
        Line180 = "line180",
        /// 189, business enquiries.
        Line189 = "line189",
        /// The web site.
        Web = "web",
        /// A counter in a shop.
        Counter = "counter",
        /// Any employee.
        Employee = "employee",
        /// 总经理热线.
        GmHotline = "gm_hotline",
        /// 110, the police.
        Police110 = "police110",
        /// 12315, consumer protection.
        Consumer12315 = "consumer12315",
        /// 12345, the mayor's line.
        Mayor12345 = "mayor12345",
        /// 12381, the ministry's line.
        Miit12381 = "miit12381",
        /// Press, radio, television.
        Media = "media",
        /// The regulator.
        Regulator = "regulator",
    }

    /// How urgent the case is to its customer.
    Severity {
        /// An inconvenience.
        Minor = "minor",
        /// Service impaired.
        Major = "major",
        /// Service lost, or danger.
        Critical = "critical",
    }

    /// The customer's service tier.
    Tier {
        /// Shorter targets.
        Gold = "gold",
        /// Between gold and standard.
        Silver = "silver",
        /// Everybody else.
        Standard = "standard",
    }

    /// The customer's segment.
    Segment {
        /// 公众客户.
        Public = "public",
        /// 大客户, served through the green channel 绿色通道.
        LargeAccount = "large_account",
    }

    /// Who brought the case, where that is not the customer for themself.
    ReporterKind {
        /// Somebody on the customer's behalf.
        OnBehalf = "on_behalf",
        /// A non-user: masts, poles, nuisance calls.
        NonUser = "non_user",
        /// Nobody who can be named, or asked.
        Anonymous = "anonymous",
    }

    /// What service the case is about.
    Product {
        /// Fixed line telephone.
        FixedLine = "fixed_line",
        /// Broadband access.
        Broadband = "broadband",
        /// Mobile.
        Mobile = "mobile",
        /// Leased line.
        LeasedLine = "leased_line",
    }

    /// A stage of the chain. The ticket is in it until its completing event.
    Stage {
        /// 调查, completed by `Investigated`.
        Investigate = "investigate",
        /// 派单, completed by `Dispatched`.
        Dispatch = "dispatch",
        /// 答复, completed by the lead's `OrderReplied`.
        Reply = "reply",
        /// 反馈, completed by satisfied feedback or one of the two ways around.
        Feedback = "feedback",
        /// 检查, completed by a passed `Inspected`.
        Inspect = "inspect",
        /// 上报, completed by `Reported`.
        Report = "report",
        /// 考核, completed by `Assessed`.
        Assess = "assess",
        /// The ticket waits here until the five gates hold, then `Closed`.
        Close = "close",
    }

    /// What the customer answered.
    Answer {
        /// 满意. The only answer that passes.
        Satisfied = "satisfied",
        /// 基本满意.
        BasicallySatisfied = "basically_satisfied",
        /// 不满意.
        Dissatisfied = "dissatisfied",
        /// 未评价: reached, and will not rate. It passes only with a supervisor's sign-off, and counts as its own answer.
        Declined = "declined",
    }

    /// How feedback was passed.
    FeedbackPassed {
        /// The customer is satisfied.
        Satisfied = "satisfied",
        /// Unreachable; never counts as satisfied.
        Unreachable = "unreachable",
        /// Concluded; counts as dissatisfied everywhere.
        Concluded = "concluded",
        /// 未评价: reached, and would not rate; never counts as satisfied.
        Declined = "declined",
        /// An anonymous reporter: there is nobody to ask; never counts as satisfied.
        NobodyToAsk = "nobody_to_ask",
    }

    /// On what ground a service cannot be given 无法提供.
    NotProvidedGround {
        /// No line, port or coverage.
        NoResources = "no_resources",
        /// The customer's own terminal is the cause.
        CustomersOwnTerminal = "customers_own_terminal",
        /// The customer is gone.
        CustomerGone = "customer_gone",
        /// The customer, or the house, does not let us in.
        EntryRefused = "entry_refused",
        /// Force majeure.
        ForceMajeure = "force_majeure",
        /// The law forbids it.
        AgainstTheLaw = "against_the_law",
    }

    /// On what ground a never-satisfied ticket was concluded 无理诉求.
    Ground {
        /// The demand is beyond law or contract.
        BeyondLawOrContract = "beyond_law_or_contract",
        /// The customer refused the remedy offered.
        RemedyRefused = "remedy_refused",
        /// Abuse.
        Abuse = "abuse",
    }

    /// Why a round was opened.
    RoundCause {
        /// The customer was less than satisfied.
        NotSatisfied = "not_satisfied",
        /// An inspection failed.
        InspectionFailed = "inspection_failed",
        /// Assessment lacked facts.
        FactsLacking = "facts_lacking",
        /// The ticket was reopened.
        Reopened = "reopened",
        /// After feedback had passed the matter returned: the line failed again, or the customer called back.
        MatterReturned = "matter_returned",
    }

    /// Why a ticket was reopened.
    ReopenCause {
        /// The customer came back within 30 days about the same.
        CustomerReturned = "customer_returned",
        /// A call-back of the daily draw 抽查 failed.
        DrawFailed = "draw_failed",
        /// An auditor's finding, by a supervisor.
        AuditFinding = "audit_finding",
    }

    /// Lead or assist.
    Part {
        /// 主办: replies last, and for the round.
        Lead = "lead",
        /// 协办.
        Assist = "assist",
    }

    /// Why the customer and the desk talked.
    ContactReason {
        /// 催单: the customer asks for speed.
        Urge = "urge",
        /// The customer adds something.
        Supplement = "supplement",
        /// The customer asks how it stands.
        Question = "question",
        /// We called the customer.
        Callback = "callback",
    }

    /// What a receipt says.
    ReceiptKind {
        /// How it stands; owed is owed still.
        Interim = "interim",
        /// The answer.
        Final = "final",
        /// The answer after a reopening.
        Supplementary = "supplementary",
    }

    /// The way of an install; each follows the one before it.
    Milestone {
        /// The order was accepted.
        Accepted = "accepted",
        /// The place was surveyed.
        Surveyed = "surveyed",
        /// Line and ports were assigned.
        ResourcesAssigned = "resources_assigned",
        /// A technician was there.
        Visited = "visited",
        /// The service works.
        Activated = "activated",
    }

    /// What came of an appointment.
    Outcome {
        /// Kept.
        Kept = "kept",
        /// Missed by the operator: penalty.
        MissedByOperator = "missed_by_operator",
        /// Missed by the customer: the clocks that honour it pause.
        MissedByCustomer = "missed_by_customer",
    }

    /// One of five conditions without which a ticket never closes.
    Gate {
        /// 原因不明不放过: a recorded cause.
        CauseKnown = "cause_known",
        /// 问题不解决不放过: feedback passed, service proved, dues paid.
        ProblemSolved = "problem_solved",
        /// 服务不改善不放过: a measure carried out, or none needed.
        ServiceImproved = "service_improved",
        /// 责任不查清不放过: final verdicts for all involved units.
        ResponsibilitySettled = "responsibility_settled",
        /// 处罚不落实不放过: each penalty carried out.
        PenaltyCarriedOut = "penalty_carried_out",
    }

    /// The clocks of domain.md section 4's table.
    ClockKind {
        /// From entering a stage to its completing event.
        Stage = "stage",
        /// From issue to reply.
        Order = "order",
        /// From intake to the first talk with the customer.
        Contact = "contact",
        /// Complaints: from intake to the first feedback that reached the customer.
        Answer = "answer",
        /// Faults: from intake to service up.
        Repair = "repair",
        /// Installs: from intake to activated.
        Activation = "activation",
        /// From payment of arrears to service up.
        Restore = "restore",
        /// From hand-over by an outside body to the final receipt.
        Outside = "outside",
        /// From intake to feedback passed.
        Ticket = "ticket",
        /// From feedback passed to closed.
        Closing = "closing",
        /// Statutory: when the customer may appeal to the regulator.
        Appealable = "appealable",
    }

    /// Why a ticket stands still.
    PauseCode {
        /// The customer asked for it or was absent.
        Customer = "customer",
        /// Somebody else's part, for instance a landlord's consent.
        ThirdParty = "third_party",
        /// Force majeure.
        ForceMajeure = "force_majeure",
        /// No resources; the ticket stays with its unit.
        Resources = "resources",
    }

    /// The ladder 催办 → 催办通知书 → 通报批评 → 挂牌督办 → 约谈.
    Rung {
        /// 催办, at the warning.
        Urge = "urge",
        /// 催办通知书, on the next working day after due, 09:00.
        Notice = "notice",
        /// 通报批评, 5 working days later.
        Criticism = "criticism",
        /// 挂牌督办, 10 working days later.
        Listed = "listed",
        /// 约谈, 15 working days later.
        Interview = "interview",
    }

    /// Why money is owed.
    DueReason {
        /// 条例 31: 1 % of the fees for each calendar day late.
        LateInstall = "late_install",
        /// 条例 32: the rent of each begun day of the outage.
        LateRepair = "late_repair",
        /// The operator's own promise.
        Promise = "promise",
    }

    /// How money reached the customer.
    Settlement {
        /// Paid out.
        Paid = "paid",
        /// Credited to the next bill.
        Credited = "credited",
    }

    /// The roles of domain.md section 5, and the system's own identities.
    Role {
        /// Takes customers' calls, tells them the outcome.
        Desk = "desk",
        /// Finds the cause.
        Investigation = "investigation",
        /// Sends orders to units, decides returns and extensions.
        Dispatch = "dispatch",
        /// A member of a responsible unit; acts on its own unit's orders only.
        Unit = "unit",
        /// Judges gates 1 to 3.
        Inspection = "inspection",
        /// Reports to management and outside bodies.
        Reporting = "reporting",
        /// Gives verdicts and closes.
        Assessment = "assessment",
        /// 服务监督员: urges, escalates, signs off, waives.
        Supervisor = "supervisor",
        /// Reads everything, changes nothing; may file a finding.
        Auditor = "auditor",
        /// Subscribes to streams.
        Monitor = "monitor",
        /// 行风监督员: sees published bulletins only.
        Observer = "observer",
        /// Policies and projections; no ticket commands.
        Administrator = "administrator",
        /// The server's timers.
        Timer = "timer",
        /// The standing rule for routine tickets, and reactions to other streams.
        Rule = "rule",
        /// Import of earlier records.
        Import = "import",
    }

    /// What a unit is.
    UnitKind {
        /// A crew that works outside 班组.
        Crew = "crew",
        /// A department 部门.
        Department = "department",
        /// An outside company that works for the operator 外包单位; assessed like the others.
        Contractor = "contractor",
    }
}

impl Role {
    /// Whether this is one of the server's own identities rather than a person.
    #[must_use]
    pub fn is_system(self) -> bool {
        matches!(self, Self::Timer | Self::Rule | Self::Import)
    }

    /// Whether people of this role work on tickets: a department's, a unit's or a supervisor's.
    #[must_use]
    pub fn is_department(self) -> bool {
        match self {
            Self::Desk
            | Self::Investigation
            | Self::Dispatch
            | Self::Unit
            | Self::Inspection
            | Self::Reporting
            | Self::Assessment
            | Self::Supervisor => true,
            Self::Auditor
            | Self::Monitor
            | Self::Observer
            | Self::Administrator
            | Self::Timer
            | Self::Rule
            | Self::Import => false,
        }
    }
}
