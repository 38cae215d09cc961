//! Who may call what: one row a method (domain.md sections 3 and 5). What is not written down is denied.
//!
//! A unit's members reach what belongs to their unit; where only the ticket's state tells whose something is, the rules
//! compare it with the proven identity.

use duban_aggregates::words::Role::{
    self, Administrator, Assessment, Auditor, Desk, Dispatch, Inspection, Investigation, Monitor, Reporting,
    Supervisor, Unit,
};
use duban_aggregates::words::Stage;

use crate::access::Row;

/// Whose command completes a stage, as the chain's table says.
const fn completes(stage: Stage) -> Role {
    stage.row().role
}

macro_rules! rows {
    ($(#[$doc:meta])* $name:ident, $service:literal { $($method:literal: [$($any:expr),*] $(own [$($own:expr),*])?;)* }) => {
        $(#[$doc])*
        const $name: &[Row] = &[$(
            Row::of(concat!("/duban.api.v1.", $service, "/", $method)).any(&[$($any),*])$(.own_unit(&[$($own),*]))?,
        )*];
    };
}

rows! { DESK, "DeskService" {
    "TakeIn": [Desk];
    "AddOutsideRequest": [Desk];
    "Attach": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor] own [Unit];
    "ChangeFirstOwner": [Desk, Supervisor];
    // The rules let in whoever recorded the fact, or a supervisor.
    "CorrectFact": [Desk, Investigation, Dispatch, Supervisor] own [Unit];
    "ContactCustomer": [Desk, Investigation, Dispatch] own [Unit];
    "NotifyDelay": [Desk, Dispatch] own [Unit];
    "RecordReceipt": [Desk, Reporting];
    "DispatchUrgent": [Desk];
    "Pause": [Desk, Dispatch];
    "Resume": [Desk, Dispatch];
    "Withdraw": [Desk];
    "Reject": [Desk];
    "Merge": [Desk];
    "Reopen": [Desk, Supervisor];
    "OpenNextRound": [Desk];
    "JoinProblem": [Desk, Investigation, Dispatch, Supervisor];
    "LinkNotice": [Desk, Investigation, Dispatch];
} }

rows! { INVESTIGATION, "InvestigationService" { "Investigate": [completes(Stage::Investigate)]; } }

rows! { DISPATCH, "DispatchService" {
    "Dispatch": [completes(Stage::Dispatch)];
    "AddAssist": [Dispatch];
    // A round's third return is a supervisor's, which the rules tell.
    "GrantReturn": [Dispatch, Supervisor];
    "RefuseReturn": [Dispatch, Supervisor];
    "Release": [Dispatch];
    "Recall": [Dispatch];
    "GrantExtension": [Dispatch];
    "RefuseExtension": [Dispatch];
} }

rows! { REPLY, "ReplyService" {
    "Accept": [] own [Unit];
    "Reply": [] own [completes(Stage::Reply)];
    "RequestReturn": [] own [Unit];
    "AskExtension": [] own [Unit];
    "WaitForAssist": [] own [Unit];
    "PlanMeasure": [Dispatch, Supervisor] own [Unit];
    "CarryOutMeasure": [Dispatch, Supervisor] own [Unit];
    "DeclareNoMeasureNeeded": [Dispatch, Supervisor] own [Unit];
    // Departments whose stage clock breached are judged too, and answer for themselves.
    "AcceptVerdict": [] own [Unit, Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor];
    "AppealVerdict": [] own [Unit, Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor];
} }

rows! { FEEDBACK, "FeedbackService" {
    "RecordFeedback": [completes(Stage::Feedback)];
    "AttemptContact": [Desk];
    "SendReplyBack": [Desk];
} }

rows! { INSPECTION, "InspectionService" {
    "Inspect": [completes(Stage::Inspect)];
    "FailMeasure": [Inspection, Supervisor];
} }

rows! { REPORT, "ReportService" { "Report": [completes(Stage::Report)]; } }

rows! { ASSESSMENT, "AssessmentService" {
    "Assess": [completes(Stage::Assess)];
    "RequestFacts": [Assessment];
    "Close": [completes(Stage::Close)];
    "DecideAppeal": [Assessment];
    "CarryOutPenalty": [Assessment];
    "ReverseVerdict": [Assessment];
    "AccrueDue": [Assessment];
    "ApproveDue": [Assessment];
    "SettleDue": [Assessment];
    "CancelDue": [Assessment, Supervisor];
} }

rows! { FAULT, "FaultService" {
    "RecordLineTest": [Desk, Investigation, Dispatch] own [Unit];
    "RecordRepair": [Investigation, Dispatch] own [Unit];
    "RecordServiceUp": [Desk, Investigation, Dispatch] own [Unit];
    "JudgeTerminal": [Desk, Investigation, Dispatch] own [Unit];
    "RecordArrearsPaid": [Desk, Dispatch];
} }

rows! { INSTALL, "InstallService" {
    "ReachMilestone": [Desk, Investigation, Dispatch] own [Unit];
    "MakeAppointment": [Desk, Investigation, Dispatch] own [Unit];
    "RescheduleAppointment": [Desk, Investigation, Dispatch] own [Unit];
    "EndAppointment": [Desk, Investigation, Dispatch] own [Unit];
} }

rows! { SUPERVISION, "SupervisionService" {
    "Urge": [Supervisor];
    "ProposeEscalation": [Supervisor];
    "IssueEscalation": [Supervisor];
    "DeclineEscalation": [Supervisor];
    "SignOffUnreachable": [Supervisor];
    "SignOffDeclined": [Supervisor];
    "SignOffNobodyToAsk": [Supervisor];
    "ConsentToNotProvided": [Supervisor];
    "StrikeDoneBy": [Supervisor];
    "ConcludeFeedback": [Supervisor];
    "ConsentToRejection": [Supervisor];
    "Waive": [Supervisor];
    "DecideThirdReturn": [Supervisor];
} }

rows! { AUDIT, "AuditService" {
    "FileFinding": [Auditor];
    // No personal data: which stages, which events.
    "GetConformance": [Supervisor, Auditor, Monitor];
    "ListDeviations": [Supervisor, Auditor, Monitor];
} }

rows! { PROBLEM, "ProblemService" {
    "OpenProblem": [Desk, Investigation, Dispatch, Inspection, Supervisor];
    "FindProblemCause": [Investigation, Supervisor];
    "PlanProblemAction": [Investigation, Dispatch, Supervisor] own [Unit];
    "CarryOutProblemAction": [Dispatch, Supervisor] own [Unit];
    "RecordProblemFailure": [Inspection, Supervisor];
    "CloseProblem": [Inspection, Supervisor];
    "GetProblem": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
} }

rows! { NOTICE, "NoticeService" {
    "PublishNotice": [Dispatch] own [Unit];
    "ExtendNotice": [Dispatch] own [Unit];
    "EndNotice": [Dispatch] own [Unit];
    "WithdrawNotice": [Dispatch] own [Unit];
    "GetNotice": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
} }

// An emergency changes what new tickets are measured by: whoever watches over the units declares it, or who keeps the policies.
rows! { EMERGENCY, "EmergencyService" {
    "DeclareEmergency": [Supervisor, Administrator];
    "EndEmergency": [Supervisor, Administrator];
    "GetEmergency": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor,
        Administrator
    ];
    "ListEmergencies": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor,
        Administrator
    ];
} }

rows! { POLICY, "PolicyService" {
    "ListPolicies": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor,
        Administrator
    ];
    "GetPolicy": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor,
        Administrator
    ];
} }

rows! { CUSTOMER, "CustomerService" {
    "RegisterCustomer": [Desk];
    "ChangeTier": [Desk, Supervisor];
    "EraseCustomer": [Supervisor];
    "GetCustomer": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
} }

// A unit reads every history and the opened texts of its own tickets only; the service looks at the scope.
rows! { HISTORY, "HistoryService" {
    "GetTicket": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
    "ListEvents": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
    "DiffTicket": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
    "ExplainClock": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
    "ExplainVerdict": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
    "ListTickets": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
    "GetHead": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
} }

// Boards show no personal data; a unit's members see their own unit's worklist.
rows! { BOARD, "BoardService" {
    "GetWorklist": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
    "GetCustodyBoard": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
    "GetCustomerHistory": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
    "GetChainBoard": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
    "GetReconciliation": [
        Desk, Investigation, Dispatch, Unit, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor
    ];
    "ListProjections": [Supervisor, Auditor, Monitor, Administrator];
} }

// Events carry their texts sealed; a unit's members follow what their own unit's orders are about.
rows! { STREAM, "StreamService" {
    "Subscribe": [Desk, Investigation, Dispatch, Inspection, Reporting, Assessment, Supervisor, Auditor, Monitor]
        own [Unit];
} }

/// All rows of the public services.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let services = [
        DESK,
        INVESTIGATION,
        DISPATCH,
        REPLY,
        FEEDBACK,
        INSPECTION,
        REPORT,
        ASSESSMENT,
        FAULT,
        INSTALL,
        SUPERVISION,
        AUDIT,
        PROBLEM,
        NOTICE,
        EMERGENCY,
        POLICY,
        CUSTOMER,
        HISTORY,
        BOARD,
        STREAM,
    ];
    services.into_iter().flatten()
}

#[cfg(test)]
mod tests;
