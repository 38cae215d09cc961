//! A week of a small city: what comes in on ordinary days, and what the rules say where somebody tries otherwise.

use duban_client::{Client, step_command_id};
use duban_engine::time::VirtualClock;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::{self as ev, Answer, OrderPart, PauseCode, TicketKind};
use tonic::Code;

use super::DemoError;
use super::scene::{Scene, Tally, ask, known, order, recording};
use crate::walk::walk;

/// Tickets a day.
const A_DAY: u32 = 8;
/// Days.
const DAYS: u32 = 7;

/// What a customer calls about.
struct Case {
    kind: TicketKind,
    category: &'static str,
    words: &'static str,
    channel: ev::Channel,
}

const CASES: [Case; 8] = [
    Case {
        kind: TicketKind::Fault,
        category: "fault.broadband.down",
        words: "宽带断了",
        channel: ev::Channel::Desk112,
    },
    Case {
        kind: TicketKind::Complaint,
        category: "complaint.billing.dispute",
        words: "话费多扣",
        channel: ev::Channel::Hotline10000,
    },
    Case {
        kind: TicketKind::Install,
        category: "install.broadband.new",
        words: "新装宽带",
        channel: ev::Channel::Counter,
    },
    Case {
        kind: TicketKind::Fault,
        category: "fault.fixed_line.no_tone",
        words: "电话没有声音",
        channel: ev::Channel::Desk112,
    },
    Case {
        kind: TicketKind::Complaint,
        category: "complaint.network.slow",
        words: "晚上网速慢",
        channel: ev::Channel::Web,
    },
    Case {
        kind: TicketKind::Fault,
        category: "fault.mobile.no_signal",
        words: "地下室没有信号",
        channel: ev::Channel::Hotline10000,
    },
    Case {
        kind: TicketKind::Install,
        category: "install.fixed_line.move",
        words: "固话移机",
        channel: ev::Channel::Line189,
    },
    Case {
        kind: TicketKind::Complaint,
        category: "complaint.service_quality.attitude",
        words: "营业员态度不好",
        channel: ev::Channel::GmHotline,
    },
];

/// The phone of the city's n-th customer.
pub(crate) fn phone(number: u32) -> String {
    format!("139{:08}", 10_000 + number)
}

/// The name of the city's n-th customer.
pub(crate) fn name(number: u32) -> String {
    format!("样例市民{number:03}号")
}

/// How many customers the city's week has.
pub(crate) fn customers() -> u32 {
    A_DAY * DAYS
}

/// Plays the week; the last day's tickets stay open, for the board.
///
/// # Errors
/// [`DemoError`] where anything is off.
pub(crate) async fn play(
    client: &Client,
    clock: &VirtualClock,
    mut progress: impl FnMut(u32, u32),
) -> Result<Tally, DemoError> {
    let mut tally = Tally::default();
    let mut scene = Scene::new(client, clock, "city");
    scene.until("2026-10-12T08:00:00")?;
    for day in 0..DAYS {
        for (index, case) in (0u32..).zip(&CASES) {
            let number = day * A_DAY + index;
            scene.ticket = step_command_id("city", u64::from(number), "ticket");
            scene.pass(0, 40);
            take_in(&mut scene, case, number).await?;
            if day + 1 < DAYS {
                turn_of_events(&mut scene, case, number).await?;
            } else {
                part_of_the_way(&mut scene, case, index).await?;
            }
            progress(number + 1, customers());
        }
        scene.pass(24 - 6, 40);
    }
    tally.commands += scene.tally.commands;
    tally.refusals_checked += scene.tally.refusals_checked;
    Ok(tally)
}

async fn take_in(scene: &mut Scene<'_>, case: &Case, number: u32) -> Result<(), DemoError> {
    let install = (case.kind == TicketKind::Install)
        .then(|| ev::InstallOrder { fees_fen: 10_000, promised_on: Some("2026-11-20".into()) });
    let request = ask!(
        scene,
        TakeInRequest {
            kind: case.kind.into(),
            channel: case.channel.into(),
            category: case.category.into(),
            severity: ev::Severity::Major.into(),
            description: case.words.into(),
            remedy: None,
            happened_at: None,
            first_owner: None,
            customer: Some(api::CustomerInput {
                customer_id: None,
                name: name(number),
                phone: phone(number),
                address: None,
                tier: ev::Tier::Standard.into(),
                segment: ev::Segment::Public.into(),
            }),
            service: Some(api::ServiceInput {
                number: format!("sv{number:07}"),
                product: ev::Product::Broadband.into(),
                monthly_rent_fen: 9_900,
            }),
            area: Some(ev::Area {
                province: "henan".into(),
                city: "样例市".into(),
                district: if number.is_multiple_of(2) { "样例区".into() } else { "样例县".into() },
                rural: !number.is_multiple_of(2),
            }),
            requests: Vec::new(),
            attachments: Vec::new(),
            mass_outage: false,
            reporter: None,
            linked: None,
            install: install,
        }
    );
    scene.done(scene.client.desk()?.take_in(request).await)
}

/// Most tickets go their way; some do not.
async fn turn_of_events(scene: &mut Scene<'_>, case: &Case, number: u32) -> Result<(), DemoError> {
    match number % 9 {
        1 => urged_three_times(scene).await?,
        4 => return withdrawn(scene).await,
        5 => return not_ours(scene).await,
        7 if case.kind != TicketKind::Install => dissatisfied_once(scene, case).await?,
        8 => return paused(scene).await,
        _ => {}
    }
    let walked = walk(scene.client, &scene.ticket).await?;
    scene.tally.commands += walked.commands;
    scene.expect(walked.closed, "every case lands somewhere")
}

async fn urged_three_times(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    for _ in 0..3 {
        scene.pass(0, 20);
        let request = ask!(
            scene,
            ContactCustomerRequest {
                reason: ev::ContactReason::Urge.into(),
                gm_hotline: false,
                said: "什么时候能好？".into(),
                answer: Some("正在催办".into()),
                recording: None,
                occurred_at: None,
            }
        );
        scene.done(scene.client.desk()?.contact_customer(request).await)?;
    }
    let escalated = scene.events("ticket.urge_escalated.v1").await?.len();
    scene.expect(escalated == 1, "a third urge goes to the supervisor")
}

async fn withdrawn(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    let withdraw = |scene: &mut Scene<'_>| {
        ask!(
            scene,
            WithdrawRequest {
                recording: Some(recording("录音-撤单")), reason: "客户自行解决".into()
            }
        )
    };
    // A unit cannot make a case go away.
    let request = withdraw(scene);
    let channel = scene.client.channel("unit", "line-crew")?;
    let mut unit = api::desk_service_client::DeskServiceClient::new(channel);
    let answer = unit.withdraw(request).await;
    scene.refused(answer, Code::PermissionDenied, "ROLE_NOT_ALLOWED")?;
    let request = withdraw(scene);
    scene.done(scene.client.desk()?.withdraw(request).await)
}

async fn not_ours(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    let reject = |scene: &mut Scene<'_>| {
        ask!(
            scene,
            RejectRequest {
                referred_to: "小区物业服务中心".into(),
                reason: "楼内线路产权属物业".into(),
                recording: Some(recording("录音-告知")),
            }
        )
    };
    let request = reject(scene);
    let answer = scene.client.desk()?.reject(request).await;
    scene.refused(answer, Code::FailedPrecondition, "CONSENT_MISSING")?;
    let request = ask!(scene, ConsentToRejectionRequest { reason: "核实产权属物业".into() });
    scene.done(scene.client.supervisor("supervision")?.consent_to_rejection(request).await)?;
    let request = reject(scene);
    scene.done(scene.client.desk()?.reject(request).await)
}

async fn dissatisfied_once(scene: &mut Scene<'_>, case: &Case) -> Result<(), DemoError> {
    one_round(scene, case.kind, 1).await?;
    let request = ask!(
        scene,
        RecordFeedbackRequest {
            answer: Answer::Dissatisfied.into(),
            words: "没有解决".into(),
            recording: Some(recording("录音-回访")),
            investigate_again: true,
        }
    );
    scene.done(scene.client.feedback()?.record_feedback(request).await)
}

/// Investigated, dispatched, accepted, replied.
async fn one_round(scene: &mut Scene<'_>, kind: TicketKind, number: u32) -> Result<(), DemoError> {
    let request = ask!(
        scene,
        InvestigateRequest {
            cause: Some(known("初步判断为参数配置问题")),
            facts: "已核对工单与现场".into(),
            units: Vec::new(),
        }
    );
    scene.done(scene.client.investigation()?.investigate(request).await)?;
    let lead = order(OrderPart::Lead, "access-network", "限期处理");
    let request = ask!(scene, DispatchRequest { orders: vec![lead] });
    scene.done(scene.client.dispatch()?.dispatch(request).await)?;
    let request = ask!(scene, AcceptRequest { order: number });
    scene.done(scene.client.unit("access-network")?.accept(request).await)?;
    scene.pass(1, 0);
    if kind == TicketKind::Fault {
        let request = ask!(scene, RecordServiceUpRequest { occurred_at: None, evidence: None });
        scene.done(scene.client.fault("access-network")?.record_service_up(request).await)?;
        let request = ask!(
            scene,
            RecordLineTestRequest {
                passed: true,
                reference: "112-T".into(),
                result: "合格".into(),
                occurred_at: None,
                evidence: None,
            }
        );
        scene.done(scene.client.fault("access-network")?.record_line_test(request).await)?;
    }
    let request = ask!(
        scene,
        ReplyRequest {
            order: number,
            resolution: "已重新下发配置".into(),
            cause: None,
            measures: Vec::new(),
            done_by: vec!["access-5".into()],
            not_provided: None,
        }
    );
    scene.done(scene.client.unit("access-network")?.reply(request).await)
}

async fn paused(scene: &mut Scene<'_>) -> Result<(), DemoError> {
    let pause = |scene: &mut Scene<'_>| {
        ask!(
            scene,
            PauseRequest {
                code: PauseCode::Customer.into(),
                evidence: "客户出差，约下周".into(),
                attachment: Some(recording("录音-约期")),
                resume_by: None,
            }
        )
    };
    let request = pause(scene);
    scene.done(scene.client.desk()?.pause(request).await)?;
    let holder = scene.state().await?.summary.unwrap_or_default().holder;
    scene.expect(holder == "customer", "while paused for the customer, the customer has the ticket")?;
    let request = pause(scene);
    let answer = scene.client.desk()?.pause(request).await;
    scene.refused(answer, Code::FailedPrecondition, "ALREADY_PAUSED")?;
    scene.pass(2, 0);
    let walked = walk(scene.client, &scene.ticket).await?;
    scene.tally.commands += walked.commands;
    scene.expect(walked.closed, "a paused ticket goes on and closes")
}

/// The last day's tickets stop somewhere on the way.
async fn part_of_the_way(scene: &mut Scene<'_>, case: &Case, index: u32) -> Result<(), DemoError> {
    if case.kind == TicketKind::Install || index < 2 {
        return Ok(());
    }
    one_round(scene, case.kind, 1).await
}
