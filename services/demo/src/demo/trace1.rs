//! Broadband down at a rural gold customer (domain.md section 11, trace 1).

use duban_proto::api::v1 as api;
use duban_proto::api::v1::TicketState;
use duban_proto::event::v1::{self as ev, Answer, OrderPart, Stage};
use tonic::Code;

use super::DemoError;
use super::scene::{Scene, ask, at_fault, judgements, known, not_at_fault, order, recording};

/// The customer's phone, as the demo's search for plain text looks for it.
pub(crate) const PHONE: &str = "13900000117";
/// The customer's name.
pub(crate) const NAME: &str = "样例客户甲";

/// Plays the trace.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub(crate) async fn play(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    first_round(scene).await?;
    second_round(scene).await?;
    third_round(scene).await?;
    settle(scene).await
}

/// Mon 09:00 to Tue 15:00: cable cut, one wrong unit, lead and assist, "basically satisfied".
async fn first_round(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    scene.until("2026-03-02T09:00:00")?;
    let request = ask!(
        scene,
        TakeInRequest {
            kind: ev::TicketKind::Fault.into(),
            channel: ev::Channel::Desk112.into(),
            category: "fault.broadband.down".into(),
            severity: ev::Severity::Critical.into(),
            description: "宽带从早上起无法上网，光猫光信号灯闪红".into(),
            remedy: Some("尽快恢复".into()),
            happened_at: None,
            first_owner: None,
            customer: Some(api::CustomerInput {
                customer_id: None,
                name: NAME.into(),
                phone: PHONE.into(),
                address: Some("样例县样例乡样例村1号".into()),
                tier: ev::Tier::Gold.into(),
                segment: ev::Segment::Public.into(),
            }),
            service: Some(api::ServiceInput {
                number: "ad0000117".into(),
                product: ev::Product::Broadband.into(),
                monthly_rent_fen: 9_900,
            }),
            area: Some(ev::Area {
                province: "henan".into(),
                city: "样例市".into(),
                district: "样例县".into(),
                rural: true,
            }),
            requests: Vec::new(),
            attachments: vec![recording("录音-112-0001")],
            mass_outage: false,
            reporter: None,
            linked: None,
            install: None,
        }
    );
    // The first answer may be lost on the way: the desk's system repeats, and nothing is taken in twice.
    scene.done(scene.client.desk()?.take_in(request.clone()).await)?;
    let first = scene.position.clone();
    scene.done(scene.client.desk()?.take_in(request).await)?;
    scene.expect(scene.position == first, "a repeated command answers what it answered")?;

    scene.pass(0, 10);
    let request = ask!(
        scene,
        ContactCustomerRequest {
            reason: ev::ContactReason::Callback.into(),
            gm_hotline: false,
            said: "家里停电吗？没有，全村都断了".into(),
            answer: Some("正在测试线路，两小时内答复".into()),
            recording: Some(recording("录音-112-0002")),
            occurred_at: None,
        }
    );
    scene.done(scene.client.desk()?.contact_customer(request).await)?;
    let request = ask!(
        scene,
        RecordLineTestRequest {
            passed: false,
            reference: "112-T-0001".into(),
            result: "失步，无光功率".into(),
            occurred_at: None,
            evidence: None,
        }
    );
    scene.done(scene.client.fault("line-crew")?.record_line_test(request).await)?;

    // Nothing is dispatched before it was investigated.
    let lead = || order(OrderPart::Lead, "line-crew", "抢修被挖断的光缆");
    let request = ask!(scene, DispatchRequest { orders: vec![lead()] });
    scene.refused(
        scene.client.dispatch()?.dispatch(request).await,
        Code::FailedPrecondition,
        "OUT_OF_TURN",
    )?;

    scene.pass(0, 20);
    let request = ask!(
        scene,
        InvestigateRequest {
            cause: Some(known("村口施工挖断 24 芯光缆")),
            facts: "OTDR 定位断点距局端 3.2 公里".into(),
            units: vec![api::NamedUnit { unit: "line-crew".into(), reason: "光缆维护责任段".into() }],
        }
    );
    scene.done(scene.client.investigation()?.investigate(request).await)?;

    scene.pass(0, 10);
    let request = ask!(scene, DispatchRequest { orders: vec![lead(), lead()] });
    scene.refused(
        scene.client.dispatch()?.dispatch(request).await,
        Code::InvalidArgument,
        "INVALID_FIELD",
    )?;
    let assist = order(OrderPart::Assist, "transmission", "核对光路并配合割接");
    let request = ask!(scene, DispatchRequest { orders: vec![lead(), assist] });
    scene.done(scene.client.dispatch()?.dispatch(request).await)?;

    scene.pass(0, 15);
    let request = ask!(scene, AcceptRequest { order: 1 });
    scene.refused(
        scene.client.unit("planning")?.accept(request).await,
        Code::PermissionDenied,
        "NOT_YOURS",
    )?;
    let request = ask!(scene, AcceptRequest { order: 1 });
    scene.done(scene.client.unit("line-crew")?.accept(request).await)?;
    let request = ask!(scene, RequestReturnRequest { order: 2, reason: "接入段光路，属接入网".into() });
    scene.done(scene.client.unit("transmission")?.request_return(request).await)?;
    let replacement = Some(order(OrderPart::Assist, "access-network", "核对接入光路并配合熔接"));
    let request = ask!(scene, GrantReturnRequest { order: 2, replacement: replacement });
    scene.done(scene.client.dispatch()?.grant_return(request).await)?;
    let request = ask!(scene, AcceptRequest { order: 3 });
    scene.done(scene.client.unit("access-network")?.accept(request).await)?;
    let request = ask!(scene, WaitForAssistRequest { order: 1, assist: 3 });
    scene.done(scene.client.unit("line-crew")?.wait_for_assist(request).await)?;

    // The lead replies last.
    let request = ask!(
        scene,
        ReplyRequest {
            order: 1,
            resolution: "光缆已熔接".into(),
            cause: None,
            measures: Vec::new(),
            done_by: vec!["line-crew-7".into()],
            not_provided: None,
        }
    );
    let answer = scene.client.unit("line-crew")?.reply(request).await;
    scene.refused(answer, Code::FailedPrecondition, "ASSIST_ORDERS_OPEN")?;

    scene.until("2026-03-03T11:00:00")?;
    let request = ask!(
        scene,
        ReplyRequest {
            order: 3,
            resolution: "光路已核对，备纤已调通".into(),
            cause: None,
            measures: Vec::new(),
            done_by: vec!["access-3".into()],
            not_provided: None,
        }
    );
    scene.done(scene.client.unit("access-network")?.reply(request).await)?;

    scene.until("2026-03-03T14:50:00")?;
    let reply = |scene: &mut Scene<'_>| {
        ask!(
            scene,
            ReplyRequest {
                order: 1,
                resolution: "断点已熔接，业务恢复".into(),
                cause: Some(known("施工单位未探明管线，挖断光缆")),
                measures: Vec::new(),
                done_by: vec!["line-crew-7".into(), "line-crew-9".into()],
                not_provided: None,
            }
        )
    };
    let request = reply(scene);
    let answer = scene.client.unit("line-crew")?.reply(request).await;
    scene.refused(answer, Code::FailedPrecondition, "REPLY_UNPROVED")?;
    let request = ask!(scene, RecordServiceUpRequest { occurred_at: None, evidence: None });
    scene.done(scene.client.fault("line-crew")?.record_service_up(request).await)?;
    let request = ask!(
        scene,
        RecordLineTestRequest {
            passed: true,
            reference: "112-T-0002".into(),
            result: "收光 -19.4 dBm，速率达标".into(),
            occurred_at: None,
            evidence: None,
        }
    );
    scene.done(scene.client.fault("line-crew")?.record_line_test(request).await)?;
    scene.until("2026-03-03T15:00:00")?;
    let request = reply(scene);
    scene.done(scene.client.unit("line-crew")?.reply(request).await)?;

    scene.pass(0, 20);
    let request = ask!(
        scene,
        RecordFeedbackRequest {
            answer: Answer::BasicallySatisfied.into(),
            words: "通了，但是晚上慢".into(),
            recording: Some(recording("录音-10000-0003")),
            investigate_again: false,
        }
    );
    scene.done(scene.client.feedback()?.record_feedback(request).await)?;
    let state = scene.state().await?.summary.unwrap_or_default();
    scene.expect(
        state.round == 2 && state.stage() == Stage::Dispatch,
        "anything less than satisfied opens a round",
    )
}

/// Slow at night: solved, the customer is satisfied, and inspection asks for more.
async fn second_round(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    round(scene, "access-network", 4, "核查晚间拥塞并扩容", "PON 口已扩容，晚间速率达标", Vec::new()).await?;
    scene.pass(1, 0);
    let request = ask!(
        scene,
        InspectRequest {
            judgements: judgements(false, "同村一年内第三次挖断，无防护标识"),
            units: vec![api::NamedUnit {
                unit: "planning".into(), reason: "管线规划未设警示标识".into()
            }],
        }
    );
    scene.done(scene.client.inspection()?.inspect(request).await)?;
    let state = scene.state().await?.summary.unwrap_or_default();
    scene.expect(state.round == 3 && state.stage() == Stage::Dispatch, "a failed inspection opens a round")
}

/// Planning marks the duct; the inspection passes.
async fn third_round(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    let measure = api::MeasurePlan {
        text: "沿线埋设管道标石并通报施工单位".into(),
        owner: "planning".into(),
        due_on: "2026-03-20".into(),
    };
    round(scene, "planning", 5, "落实管线防护措施", "标石方案已批，本周施工", vec![measure]).await?;
    scene.pass(1, 0);
    let request = ask!(
        scene,
        InspectRequest {
            judgements: judgements(true, "标石方案与施工单已核对"), units: Vec::new()
        }
    );
    scene.done(scene.client.inspection()?.inspect(request).await)
}

/// One round of one lead, up to a satisfied customer.
async fn round(
    scene: &mut Scene<'_>,
    unit: &str,
    number: u32,
    task: &str,
    resolution: &str,
    measures: Vec<api::MeasurePlan>,
) -> Result<(), DemoError> {
    scene.pass(0, 15);
    let request = ask!(scene, DispatchRequest { orders: vec![order(OrderPart::Lead, unit, task)] });
    scene.done(scene.client.dispatch()?.dispatch(request).await)?;
    scene.pass(0, 10);
    let request = ask!(scene, AcceptRequest { order: number });
    scene.done(scene.client.unit(unit)?.accept(request).await)?;
    scene.pass(5, 0);
    let request = ask!(
        scene,
        ReplyRequest {
            order: number,
            resolution: resolution.into(),
            cause: None,
            measures: measures,
            done_by: vec![format!("{unit}-2")],
            not_provided: None,
        }
    );
    scene.done(scene.client.unit(unit)?.reply(request).await)?;
    scene.pass(0, 30);
    let request = ask!(
        scene,
        RecordFeedbackRequest {
            answer: Answer::Satisfied.into(),
            words: "现在很好，满意".into(),
            recording: Some(recording("录音-10000-0004")),
            investigate_again: false,
        }
    );
    scene.done(scene.client.feedback()?.record_feedback(request).await)
}

/// Reported, assessed, carried out, closed.
async fn settle(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    scene.pass(0, 30);
    let request = ask!(
        scene,
        ReportRequest {
            level: "city".into(),
            summary: "光缆三次被挖断，已落实管道标石".into(),
            reference: "督办上报-0001".into(),
        }
    );
    scene.done(scene.client.reporting()?.report(request).await)?;

    let state = scene.state().await?;
    let involved = ["access-network", "line-crew", "planning"];
    scene.expect(
        state.involved == involved,
        "a granted return alone does not involve: line crew, access network, planning",
    )?;
    scene.pass(1, 0);
    let cleared = |unit| not_at_fault(unit, "按时处理，无责");
    let request = ask!(scene, AssessRequest { verdicts: vec![cleared("line-crew")], confirmed: Vec::new() });
    let answer = scene.client.assessment()?.assess(request).await;
    scene.refused(answer, Code::FailedPrecondition, "VERDICTS_MISSING")?;
    let because = scene.events("chain.inspected.v1").await?.into_iter().take(1).collect();
    let planning = at_fault("planning", 2, 0, because, "管线无防护标识");
    let verdicts = vec![cleared("line-crew"), cleared("access-network"), planning];
    let request = ask!(scene, AssessRequest { verdicts: verdicts, confirmed: Vec::new() });
    scene.done(scene.client.assessment()?.assess(request).await)?;

    let request = ask!(scene, CloseRequest {});
    scene.refused(scene.client.assessment()?.close(request).await, Code::FailedPrecondition, "GATES_OPEN")?;
    let request = ask!(scene, AcceptVerdictRequest { verdict: 3 });
    scene.done(scene.client.unit("planning")?.accept_verdict(request).await)?;
    let request = ask!(scene, CloseRequest {});
    scene.refused(scene.client.assessment()?.close(request).await, Code::FailedPrecondition, "GATES_OPEN")?;
    scene.until("2026-03-09T10:00:00")?;
    let request = ask!(scene, CarryOutMeasureRequest { measure: 1, evidence: "标石埋设照片 12 张".into() });
    scene.done(scene.client.unit("planning")?.carry_out_measure(request).await)?;
    let request = ask!(scene, CloseRequest {});
    scene.done(scene.client.assessment()?.close(request).await)?;

    let state = scene.state().await?;
    let summary = state.summary.clone().unwrap_or_default();
    scene.expect(summary.state() == TicketState::Closed && summary.round == 3, "closed in round 3")?;
    let certificate = state.certificate.clone().unwrap_or_default();
    let proved = certificate.gates.iter().filter(|gate| !gate.proof.is_empty()).count();
    scene.expect(
        certificate.gates.len() == 5 && proved >= 4,
        "the certificate has five gates and their events",
    )?;
    super::show::custody_adds_up(&state).map_err(|problem| DemoError::Unexpected {
        scene: "trace 1",
        step: 0,
        problem,
    })
}
