use duban_aggregates::words::Role;
use prost::Message;
use prost_types::FileDescriptorSet;

use super::*;
use crate::access::{AccessTable, Decision, Scope};

/// What every role may do: `+` everywhere, `o` for its own unit, `.` not at all. Whoever is not in the head may nothing.
const COLUMNS: [Role; 11] = [
    Desk,
    Investigation,
    Dispatch,
    Unit,
    Inspection,
    Reporting,
    Assessment,
    Supervisor,
    Auditor,
    Monitor,
    Administrator,
];

#[rustfmt::skip]
const MATRIX: &[(&str, &str)] = &[
    //                                            desk inv dis unit ins rep ass sup aud mon adm
    ("DeskService/TakeIn",                        "+ . . . . . . . . . ."),
    ("DeskService/AddOutsideRequest",             "+ . . . . . . . . . ."),
    ("DeskService/Attach",                        "+ + + o + + + + . . ."),
    ("DeskService/ChangeFirstOwner",              "+ . . . . . . + . . ."),
    ("DeskService/CorrectFact",                   "+ + + o . . . + . . ."),
    ("DeskService/ContactCustomer",               "+ + + o . . . . . . ."),
    ("DeskService/NotifyDelay",                   "+ . + o . . . . . . ."),
    ("DeskService/RecordReceipt",                 "+ . . . . + . . . . ."),
    ("DeskService/DispatchUrgent",                "+ . . . . . . . . . ."),
    ("DeskService/Pause",                         "+ . + . . . . . . . ."),
    ("DeskService/Resume",                        "+ . + . . . . . . . ."),
    ("DeskService/Withdraw",                      "+ . . . . . . . . . ."),
    ("DeskService/Reject",                        "+ . . . . . . . . . ."),
    ("DeskService/Merge",                         "+ . . . . . . . . . ."),
    ("DeskService/Reopen",                        "+ . . . . . . + . . ."),
    ("DeskService/OpenNextRound",                 "+ . . . . . . . . . ."),
    ("DeskService/JoinProblem",                   "+ + + . . . . + . . ."),
    ("DeskService/LinkNotice",                    "+ + + . . . . . . . ."),
    ("InvestigationService/Investigate",          ". + . . . . . . . . ."),
    ("DispatchService/Dispatch",                  ". . + . . . . . . . ."),
    ("DispatchService/AddAssist",                 ". . + . . . . . . . ."),
    ("DispatchService/GrantReturn",               ". . + . . . . + . . ."),
    ("DispatchService/RefuseReturn",              ". . + . . . . + . . ."),
    ("DispatchService/Release",                   ". . + . . . . . . . ."),
    ("DispatchService/Recall",                    ". . + . . . . . . . ."),
    ("DispatchService/GrantExtension",            ". . + . . . . . . . ."),
    ("DispatchService/RefuseExtension",           ". . + . . . . . . . ."),
    ("ReplyService/Accept",                       ". . . o . . . . . . ."),
    ("ReplyService/Reply",                        ". . . o . . . . . . ."),
    ("ReplyService/RequestReturn",                ". . . o . . . . . . ."),
    ("ReplyService/AskExtension",                 ". . . o . . . . . . ."),
    ("ReplyService/WaitForAssist",                ". . . o . . . . . . ."),
    ("ReplyService/PlanMeasure",                  ". . + o . . . + . . ."),
    ("ReplyService/CarryOutMeasure",              ". . + o . . . + . . ."),
    ("ReplyService/DeclareNoMeasureNeeded",       ". . + o . . . + . . ."),
    ("ReplyService/AcceptVerdict",                "o o o o o o o o . . ."),
    ("ReplyService/AppealVerdict",                "o o o o o o o o . . ."),
    ("FeedbackService/RecordFeedback",            "+ . . . . . . . . . ."),
    ("FeedbackService/AttemptContact",            "+ . . . . . . . . . ."),
    ("FeedbackService/SendReplyBack",             "+ . . . . . . . . . ."),
    ("InspectionService/Inspect",                 ". . . . + . . . . . ."),
    ("InspectionService/FailMeasure",             ". . . . + . . + . . ."),
    ("ReportService/Report",                      ". . . . . + . . . . ."),
    ("AssessmentService/Assess",                  ". . . . . . + . . . ."),
    ("AssessmentService/RequestFacts",            ". . . . . . + . . . ."),
    ("AssessmentService/Close",                   ". . . . . . + . . . ."),
    ("AssessmentService/DecideAppeal",            ". . . . . . + . . . ."),
    ("AssessmentService/CarryOutPenalty",         ". . . . . . + . . . ."),
    ("AssessmentService/ReverseVerdict",          ". . . . . . + . . . ."),
    ("AssessmentService/AccrueDue",               ". . . . . . + . . . ."),
    ("AssessmentService/ApproveDue",              ". . . . . . + . . . ."),
    ("AssessmentService/SettleDue",               ". . . . . . + . . . ."),
    ("AssessmentService/CancelDue",               ". . . . . . + + . . ."),
    ("FaultService/RecordLineTest",               "+ + + o . . . . . . ."),
    ("FaultService/RecordRepair",                 ". + + o . . . . . . ."),
    ("FaultService/RecordServiceUp",              "+ + + o . . . . . . ."),
    ("FaultService/JudgeTerminal",                "+ + + o . . . . . . ."),
    ("FaultService/RecordArrearsPaid",            "+ . + . . . . . . . ."),
    ("InstallService/ReachMilestone",             "+ + + o . . . . . . ."),
    ("InstallService/MakeAppointment",            "+ + + o . . . . . . ."),
    ("InstallService/RescheduleAppointment",      "+ + + o . . . . . . ."),
    ("InstallService/EndAppointment",             "+ + + o . . . . . . ."),
    ("SupervisionService/Urge",                   ". . . . . . . + . . ."),
    ("SupervisionService/ProposeEscalation",      ". . . . . . . + . . ."),
    ("SupervisionService/IssueEscalation",        ". . . . . . . + . . ."),
    ("SupervisionService/DeclineEscalation",      ". . . . . . . + . . ."),
    ("SupervisionService/SignOffUnreachable",     ". . . . . . . + . . ."),
    ("SupervisionService/SignOffDeclined",        ". . . . . . . + . . ."),
    ("SupervisionService/SignOffNobodyToAsk",     ". . . . . . . + . . ."),
    ("SupervisionService/ConsentToNotProvided",   ". . . . . . . + . . ."),
    ("SupervisionService/StrikeDoneBy",           ". . . . . . . + . . ."),
    ("SupervisionService/ConcludeFeedback",       ". . . . . . . + . . ."),
    ("SupervisionService/ConsentToRejection",     ". . . . . . . + . . ."),
    ("SupervisionService/Waive",                  ". . . . . . . + . . ."),
    ("SupervisionService/DecideThirdReturn",      ". . . . . . . + . . ."),
    ("AuditService/FileFinding",                  ". . . . . . . . + . ."),
    ("AuditService/GetConformance",               ". . . . . . . + + + ."),
    ("AuditService/ListDeviations",               ". . . . . . . + + + ."),
    ("ProblemService/OpenProblem",                "+ + + . + . . + . . ."),
    ("ProblemService/FindProblemCause",           ". + . . . . . + . . ."),
    ("ProblemService/PlanProblemAction",          ". + + o . . . + . . ."),
    ("ProblemService/CarryOutProblemAction",      ". . + o . . . + . . ."),
    ("ProblemService/RecordProblemFailure",       ". . . . + . . + . . ."),
    ("ProblemService/CloseProblem",               ". . . . + . . + . . ."),
    ("ProblemService/GetProblem",                 "+ + + + + + + + + + ."),
    ("NoticeService/PublishNotice",               ". . + o . . . . . . ."),
    ("NoticeService/ExtendNotice",                ". . + o . . . . . . ."),
    ("NoticeService/EndNotice",                   ". . + o . . . . . . ."),
    ("NoticeService/WithdrawNotice",              ". . + o . . . . . . ."),
    ("NoticeService/GetNotice",                   "+ + + + + + + + + + ."),
    ("EmergencyService/DeclareEmergency",         ". . . . . . . + . . +"),
    ("EmergencyService/EndEmergency",             ". . . . . . . + . . +"),
    ("EmergencyService/GetEmergency",             "+ + + + + + + + + + +"),
    ("EmergencyService/ListEmergencies",          "+ + + + + + + + + + +"),
    ("PolicyService/ListPolicies",                "+ + + + + + + + + + +"),
    ("PolicyService/GetPolicy",                   "+ + + + + + + + + + +"),
    ("CustomerService/RegisterCustomer",          "+ . . . . . . . . . ."),
    ("CustomerService/ChangeTier",                "+ . . . . . . + . . ."),
    ("CustomerService/EraseCustomer",             ". . . . . . . + . . ."),
    ("CustomerService/GetCustomer",               "+ + + + + + + + + + ."),
    ("HistoryService/GetTicket",                  "+ + + o + + + + + + ."),
    ("HistoryService/ListEvents",                 "+ + + o + + + + + + ."),
    ("HistoryService/DiffTicket",                 "+ + + o + + + + + + ."),
    ("HistoryService/ExplainClock",               "+ + + o + + + + + + ."),
    ("HistoryService/ExplainVerdict",             "+ + + o + + + + + + ."),
    ("HistoryService/ListTickets",                "+ + + + + + + + + + ."),
    ("HistoryService/GetHead",                    "+ + + + + + + + + + ."),
    ("BoardService/GetWorklist",                  "+ + + o + + + + + + ."),
    ("BoardService/GetCustodyBoard",              "+ + + + + + + + + + ."),
    ("BoardService/GetCustomerHistory",           "+ + + + + + + + + + ."),
    ("BoardService/GetChainBoard",                "+ + + + + + + + + + ."),
    ("BoardService/GetReconciliation",            "+ + + + + + + + + + ."),
    ("BoardService/ListProjections",              ". . . . . . . + + + +"),
    ("StreamService/Subscribe",                   "+ + + o + + + + + + ."),
];

fn table() -> AccessTable {
    AccessTable::new(rows()).unwrap()
}

/// The methods of the public contract, as callers name them.
fn described() -> Vec<String> {
    let set = FileDescriptorSet::decode(duban_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut methods = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                methods.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    methods.sort();
    methods
}

#[test]
fn every_method_of_the_contract_has_its_row_and_no_row_is_without_a_method() {
    assert_eq!(table().methods(), described());
}

#[test]
fn every_role_may_what_the_matrix_says_and_nothing_else() {
    let table = table();
    assert_eq!(MATRIX.len(), table.methods().len());
    for (method, marks) in MATRIX {
        let marks: Vec<&str> = marks.split(' ').collect();
        assert_eq!(marks.len(), COLUMNS.len(), "{method}");
        let path = format!("/duban.api.v1.{method}");
        for role in Role::ALL {
            let mark = COLUMNS.iter().position(|column| *column == role).map_or(".", |column| marks[column]);
            let expected = match mark {
                "+" => Decision::Allowed(Scope::Any),
                "o" => Decision::Allowed(Scope::OwnUnit),
                _ => Decision::Denied,
            };
            assert_eq!(table.decide(&path, role), expected, "{method} by {role:?}");
        }
    }
}
