//! Every command of the chain as its department sends it, with nothing out of the ordinary in it.

use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Gate, Milestone, OrderPart, TicketKind};

use crate::script::Case;
use crate::wire::Sent;
use duban_client::TokenHolder;

/// A request with its ticket and the next id, sent by somebody.
macro_rules! ask {
    ($case:expr, $method:literal, $who:expr, $message:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let command = $case.next_id();
        let request = api::$message {
            ticket_id: $case.ticket.clone(),
            command_id: command.clone(),
            expected_revision: None,
            $($field: $value),*
        };
        $case.sent($method, $who, &command, &request)
    }};
}

/// A department's own people.
fn own(role: &str) -> TokenHolder {
    TokenHolder::new(role, role)
}

/// A supervisor who had no part in anything.
fn supervisor() -> TokenHolder {
    TokenHolder::new("supervisor", "supervision")
}

fn lead_unit(case: &Case) -> TokenHolder {
    TokenHolder::unit(case.lead())
}

/// A recording, kept elsewhere.
#[must_use]
pub fn recording(reference: &str) -> ev::Attachment {
    ev::Attachment { reference: reference.to_owned(), sha256: vec![7; 32] }
}

fn order(part: OrderPart, unit: &str) -> api::NewOrder {
    api::NewOrder { part: part.into(), unit: unit.into(), task: "限期处理并答复".into(), due: None }
}

/// The phone of a case's customer.
#[must_use]
pub fn phone(case: &Case) -> String {
    format!("139{:08}", case.number(8))
}

/// What the desk takes in.
#[must_use]
pub fn take_in_request(case: &Case, command: &str) -> api::TakeInRequest {
    let category = match case.kind {
        TicketKind::Fault => "fault.broadband.down",
        TicketKind::Install => "install.broadband.new",
        TicketKind::Complaint | TicketKind::Unspecified => "complaint.network.slow",
    };
    api::TakeInRequest {
        ticket_id: case.ticket.clone(),
        command_id: command.to_owned(),
        expected_revision: None,
        kind: case.kind.into(),
        channel: ev::Channel::Hotline10000.into(),
        category: category.into(),
        severity: ev::Severity::Major.into(),
        description: "晚上八点以后网速很慢".into(),
        remedy: None,
        happened_at: None,
        first_owner: None,
        customer: Some(api::CustomerInput {
            customer_id: None,
            name: "样例客户".into(),
            phone: phone(case),
            address: None,
            tier: ev::Tier::Standard.into(),
            segment: ev::Segment::Public.into(),
        }),
        service: Some(api::ServiceInput {
            number: format!("ad{:010}", case.number(10)),
            product: ev::Product::Broadband.into(),
            monthly_rent_fen: 9_900,
        }),
        area: Some(ev::Area {
            province: "henan".into(),
            city: "样例市".into(),
            district: "样例区".into(),
            rural: false,
        }),
        requests: Vec::new(),
        attachments: Vec::new(),
        mass_outage: false,
        reporter: None,
        linked: None,
        install: (case.kind == TicketKind::Install)
            .then_some(ev::InstallOrder { fees_fen: 10_000, promised_on: None }),
    }
}

/// The desk takes the ticket in.
pub fn take_in(case: &mut Case) -> Sent {
    let command = case.next_id();
    let request = take_in_request(case, &command);
    case.sent("DeskService/TakeIn", own("desk"), &command, &request)
}

/// The desk records a customer's call.
pub fn contact(case: &mut Case) -> Sent {
    ask!(
        case,
        "DeskService/ContactCustomer",
        own("desk"),
        ContactCustomerRequest {
            reason: ev::ContactReason::Question.into(),
            gm_hotline: false,
            said: "什么时候能好？".into(),
            answer: Some("正在处理".into()),
            recording: None,
            occurred_at: None,
        }
    )
}

/// The desk attaches a document.
pub fn attach(case: &mut Case) -> Sent {
    let reference = format!("附件-{}", case.name);
    ask!(case, "DeskService/Attach", own("desk"), AttachRequest { attachment: Some(recording(&reference)) })
}

/// The desk dispatches what cannot wait.
pub fn dispatch_urgent(case: &mut Case) -> Sent {
    let orders = vec![order(OrderPart::Lead, case.lead())];
    ask!(
        case,
        "DeskService/DispatchUrgent",
        own("desk"),
        DispatchUrgentRequest { facts: "紧急".into(), orders: orders }
    )
}

/// Investigation completes its stage.
pub fn investigate(case: &mut Case) -> Sent {
    let cause = if case.kind == TicketKind::Install {
        api::Cause { kind: ev::CauseKind::NewOrder.into(), text: None }
    } else {
        api::Cause { kind: ev::CauseKind::Known.into(), text: Some("上联端口拥塞".into()) }
    };
    ask!(
        case,
        "InvestigationService/Investigate",
        own("investigation"),
        InvestigateRequest { cause: Some(cause), facts: "已核对流量曲线".into(), units: Vec::new() }
    )
}

/// Dispatch completes its stage: one lead.
pub fn dispatch(case: &mut Case) -> Sent {
    let orders = vec![order(OrderPart::Lead, case.lead())];
    ask!(case, "DispatchService/Dispatch", own("dispatch"), DispatchRequest { orders: orders })
}

/// Dispatch adds an assist.
pub fn add_assist(case: &mut Case) -> Sent {
    let assist = Some(order(OrderPart::Assist, "transmission"));
    ask!(case, "DispatchService/AddAssist", own("dispatch"), AddAssistRequest { order: assist })
}

/// Dispatch grants the lead's return.
pub fn grant_return(case: &mut Case) -> Sent {
    let replacement = Some(order(OrderPart::Lead, "data-network"));
    ask!(
        case,
        "DispatchService/GrantReturn",
        own("dispatch"),
        GrantReturnRequest { order: 1, replacement: replacement }
    )
}

/// Dispatch refuses the lead's return.
pub fn refuse_return(case: &mut Case) -> Sent {
    ask!(
        case,
        "DispatchService/RefuseReturn",
        own("dispatch"),
        RefuseReturnRequest { order: 1, reason: "属于该单位".into() }
    )
}

/// Dispatch releases an assist.
pub fn release(case: &mut Case) -> Sent {
    ask!(
        case,
        "DispatchService/Release",
        own("dispatch"),
        ReleaseRequest { order: 1, reason: "不再需要".into() }
    )
}

/// Dispatch recalls the lead.
pub fn recall(case: &mut Case) -> Sent {
    let replacement = Some(order(OrderPart::Lead, "data-network"));
    ask!(
        case,
        "DispatchService/Recall",
        own("dispatch"),
        RecallRequest { order: 1, reason: "改派".into(), replacement: replacement }
    )
}

/// Dispatch grants more time.
pub fn grant_extension(case: &mut Case) -> Sent {
    ask!(
        case,
        "DispatchService/GrantExtension",
        own("dispatch"),
        GrantExtensionRequest { order: 1, until: None }
    )
}

/// Dispatch refuses more time.
pub fn refuse_extension(case: &mut Case) -> Sent {
    ask!(
        case,
        "DispatchService/RefuseExtension",
        own("dispatch"),
        RefuseExtensionRequest { order: 1, reason: "须按期完成".into() }
    )
}

/// The lead's unit accepts.
pub fn accept(case: &mut Case) -> Sent {
    ask!(case, "ReplyService/Accept", lead_unit(case), AcceptRequest { order: 1 })
}

/// The lead's unit replies; it completes the stage.
pub fn reply(case: &mut Case) -> Sent {
    ask!(
        case,
        "ReplyService/Reply",
        lead_unit(case),
        ReplyRequest {
            order: 1,
            resolution: "已扩容，速率达标".into(),
            cause: None,
            measures: Vec::new(),
            done_by: vec!["access-5".into()],
            not_provided: None,
        }
    )
}

/// The lead's unit wants to give its order back.
pub fn request_return(case: &mut Case) -> Sent {
    ask!(
        case,
        "ReplyService/RequestReturn",
        lead_unit(case),
        RequestReturnRequest { order: 1, reason: "非本单位".into() }
    )
}

/// The lead's unit asks for more time: until a day after the order's own deadline can be told only by the server, so
/// this asks for a moment far ahead.
pub fn ask_extension(case: &mut Case) -> Sent {
    let until = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 });
    ask!(
        case,
        "ReplyService/AskExtension",
        lead_unit(case),
        AskExtensionRequest { order: 1, until: until, reason: "等待备件".into() }
    )
}

/// The lead's unit waits for an assist.
pub fn wait_for_assist(case: &mut Case) -> Sent {
    ask!(case, "ReplyService/WaitForAssist", lead_unit(case), WaitForAssistRequest { order: 1, assist: 2 })
}

/// The lead's unit records a passing test.
pub fn line_test(case: &mut Case) -> Sent {
    let reference = format!("T-{}", case.name);
    ask!(
        case,
        "FaultService/RecordLineTest",
        lead_unit(case),
        RecordLineTestRequest {
            passed: true,
            reference: reference,
            result: "合格".into(),
            occurred_at: None,
            evidence: None,
        }
    )
}

/// The lead's unit records that the service is up.
pub fn service_up(case: &mut Case) -> Sent {
    ask!(
        case,
        "FaultService/RecordServiceUp",
        lead_unit(case),
        RecordServiceUpRequest { occurred_at: None, evidence: None }
    )
}

/// An install reaches a milestone; before dispatch it is investigation that records it.
pub fn milestone(case: &mut Case, milestone: Milestone) -> Sent {
    let who = if milestone < Milestone::Visited { own("investigation") } else { lead_unit(case) };
    ask!(
        case,
        "InstallService/ReachMilestone",
        who,
        ReachMilestoneRequest { milestone: milestone.into(), occurred_at: None, evidence: None }
    )
}

/// The desk records a satisfied customer.
pub fn feedback(case: &mut Case) -> Sent {
    feedback_of(case, ev::Answer::Satisfied)
}

/// The desk records what the customer answered.
pub fn feedback_of(case: &mut Case, answer: ev::Answer) -> Sent {
    ask!(
        case,
        "FeedbackService/RecordFeedback",
        own("desk"),
        RecordFeedbackRequest {
            answer: answer.into(),
            words: "客户原话".into(),
            recording: None,
            investigate_again: false,
        }
    )
}

/// The desk did not reach the customer.
pub fn attempt_contact(case: &mut Case) -> Sent {
    let recording = Some(recording("录音-未接通"));
    ask!(case, "FeedbackService/AttemptContact", own("desk"), AttemptContactRequest { recording: recording })
}

/// The desk sends the reply back.
pub fn send_reply_back(case: &mut Case) -> Sent {
    ask!(
        case,
        "FeedbackService/SendReplyBack",
        own("desk"),
        SendReplyBackRequest { assists: Vec::new(), reason: "答复不完整".into() }
    )
}

/// A supervisor signs off an unreachable customer.
pub fn sign_off(case: &mut Case) -> Sent {
    ask!(
        case,
        "SupervisionService/SignOffUnreachable",
        supervisor(),
        SignOffUnreachableRequest { reason: "三次未接通".into() }
    )
}

/// A supervisor concludes feedback.
pub fn conclude(case: &mut Case) -> Sent {
    ask!(
        case,
        "SupervisionService/ConcludeFeedback",
        supervisor(),
        ConcludeFeedbackRequest {
            ground: ev::Ground::BeyondLawOrContract.into(),
            offer: "已提出补偿方案".into(),
            appeal_explained: Some(recording("录音-申诉告知")),
        }
    )
}

/// A supervisor decides a third return.
pub fn third_return(case: &mut Case) -> Sent {
    ask!(
        case,
        "SupervisionService/DecideThirdReturn",
        supervisor(),
        DecideThirdReturnRequest {
            order: 1,
            granted: false,
            reason: Some("属于该单位".into()),
            replacement: None,
        }
    )
}

/// The lead's unit says that no measure is needed.
pub fn no_measure(case: &mut Case) -> Sent {
    ask!(
        case,
        "ReplyService/DeclareNoMeasureNeeded",
        lead_unit(case),
        DeclareNoMeasureNeededRequest { reason: "个例".into() }
    )
}

/// Inspection passes gates 1 to 3.
pub fn inspect(case: &mut Case) -> Sent {
    let judgement =
        |gate: Gate| api::Judgement {
            gate: gate.into(), passed: true, evidence: "核对记录与录音".into()
        };
    let judgements = [Gate::CauseKnown, Gate::ProblemSolved, Gate::ServiceImproved].map(judgement).to_vec();
    ask!(
        case,
        "InspectionService/Inspect",
        own("inspection"),
        InspectRequest { judgements: judgements, units: Vec::new() }
    )
}

/// Reporting completes its stage.
pub fn report(case: &mut Case) -> Sent {
    let reference = format!("上报-{}", case.name);
    ask!(
        case,
        "ReportService/Report",
        own("reporting"),
        ReportRequest { level: "city".into(), summary: "过程与结果".into(), reference: reference }
    )
}

/// Assessment finds the lead's unit at fault, without a deduction: its verdict waits for the unit.
pub fn assess(case: &mut Case) -> Sent {
    let finding = api::finding::Finding::AtFault(api::AtFault {
        rule: "考核办法-3.2".into(),
        points: 0,
        penalty_fen: 0,
        because: Vec::new(),
        reason: "未提前扩容，情节轻微".into(),
    });
    let verdict =
        api::NewVerdict { unit: case.lead().into(), finding: Some(api::Finding { finding: Some(finding) }) };
    ask!(
        case,
        "AssessmentService/Assess",
        own("assessment"),
        AssessRequest { verdicts: vec![verdict], confirmed: Vec::new() }
    )
}

/// Assessment sends the ticket back for facts.
pub fn request_facts(case: &mut Case) -> Sent {
    ask!(
        case,
        "AssessmentService/RequestFacts",
        own("assessment"),
        RequestFactsRequest { reason: "缺现场记录".into() }
    )
}

/// The lead's unit accepts its verdict.
pub fn accept_verdict(case: &mut Case) -> Sent {
    ask!(case, "ReplyService/AcceptVerdict", lead_unit(case), AcceptVerdictRequest { verdict: 1 })
}

/// Assessment closes.
pub fn close(case: &mut Case) -> Sent {
    ask!(case, "AssessmentService/Close", own("assessment"), CloseRequest {})
}
