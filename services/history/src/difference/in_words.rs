//! What the difference between two states of a ticket means, in words.

use duban_proto::api::v1 as api;
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::Offset;

/// The office's zone; it has kept the same offset since 1991.
const OFFICE: Offset = Offset::constant(8);

/// One sentence a change, in the order in which people ask: where the ticket stands and who has it, then orders, clocks, gates,
/// verdicts, money, and the rest. `before` is empty where nothing had happened.
pub(super) fn changes(before: &api::Ticket, after: &api::Ticket) -> Vec<String> {
    let mut words = Vec::new();
    summary(before, after, &mut words);
    orders(before, after, &mut words);
    clocks(before, after, &mut words);
    gates(before, after, &mut words);
    verdicts(before, after, &mut words);
    receipts_and_dues(before, after, &mut words);
    other_facts(before, after, &mut words);
    custody(before, after, &mut words);
    words
}

/// `ORDER_STATUS_RETURN_ASKED` as `return asked`.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', " ")
}

fn local(at: Option<&prost_types::Timestamp>) -> String {
    let at = at.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    at.map_or_else(
        || "never".to_owned(),
        |at| {
            let local = OFFICE.to_datetime(at);
            strtime::format("%Y-%m-%d %H:%M:%S", local).unwrap_or_else(|_| at.to_string())
        },
    )
}

/// `1,234.50 yuan` without the separators: money is in fen.
fn yuan(fen: u64) -> String {
    format!("{}.{:02} yuan", fen / 100, fen % 100)
}

fn summary(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    let (Some(now), then) = (&after.summary, before.summary.as_ref()) else { return };
    let Some(then) = then else {
        let kind = word(now.kind().as_str_name(), "TICKET_KIND_");
        words.push(format!("the {kind} was taken in {}", local(now.taken_in_at.as_ref())));
        let stage = word(now.stage().as_str_name(), "STAGE_");
        words.push(format!("it is at {stage}, round {}, with {}", now.round, now.holder));
        return;
    };
    let mut moved = |what: &str, then: String, now: String| {
        if then != now {
            words.push(format!("{what}: {then} → {now}"));
        }
    };
    let state = |row: &api::TicketSummary| word(row.state().as_str_name(), "TICKET_STATE_");
    moved("state", state(then), state(now));
    let stage = |row: &api::TicketSummary| word(row.stage().as_str_name(), "STAGE_");
    moved("stage", stage(then), stage(now));
    moved("round", then.round.to_string(), now.round.to_string());
    moved("held by", then.holder.clone(), now.holder.clone());
    moved("category", then.category.clone(), now.category.clone());
    let pause = |ticket: &api::Ticket| {
        ticket.pause.as_ref().map_or_else(
            || "none".to_owned(),
            |pause| {
                let code = word(pause.code().as_str_name(), "PAUSE_CODE_");
                format!("{code} since {}", local(pause.since.as_ref()))
            },
        )
    };
    moved("pause", pause(before), pause(after));
    let answer = |ticket: &api::Ticket| {
        let round = ticket.round.as_ref();
        let answer = round.map_or_else(String::new, |round| word(round.answer().as_str_name(), "ANSWER_"));
        if answer == "unspecified" { "none".to_owned() } else { answer }
    };
    moved("answer of the round", answer(before), answer(after));
}

fn orders(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    for order in &after.orders {
        let number = order.order;
        let status = word(order.status().as_str_name(), "ORDER_STATUS_");
        let part = word(order.part().as_str_name(), "ORDER_PART_");
        match before.orders.iter().find(|known| known.order == number) {
            None => words.push(format!("order {number} ({part}) to {}: issued, now {status}", order.unit)),
            Some(known) => {
                let was = word(known.status().as_str_name(), "ORDER_STATUS_");
                if was != status {
                    words.push(format!("order {number} ({part}) of {}: {was} → {status}", order.unit));
                }
                if known.replies < order.replies {
                    words.push(format!("order {number} was replied to"));
                }
                if known.due != order.due && order.due.is_some() && known.due.is_some() {
                    let (was, now) = (local(known.due.as_ref()), local(order.due.as_ref()));
                    words.push(format!("order {number} is due {now} instead of {was}"));
                }
            }
        }
    }
}

/// `order 2`, `stage reply`, `ticket`.
fn clock_name(clock: &api::ClockView) -> String {
    use duban_proto::event::v1::subject::Subject;
    let kind = word(clock.kind().as_str_name(), "CLOCK_KIND_");
    match clock.subject.as_ref().and_then(|subject| subject.subject.as_ref()) {
        Some(Subject::Order(order)) => format!("order {order}"),
        Some(Subject::Request(request)) => format!("{kind} request {request}"),
        Some(Subject::Stage(stage)) => {
            let stage = duban_proto::event::v1::Stage::try_from(*stage).unwrap_or_default();
            format!("{kind} {}", word(stage.as_str_name(), "STAGE_"))
        }
        Some(Subject::Ticket(_)) | None => kind,
    }
}

fn clocks(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    for clock in &after.clocks {
        let name = format!("clock {} ({})", clock.clock, clock_name(clock));
        let status = word(clock.status().as_str_name(), "CLOCK_STATUS_");
        match before.clocks.iter().find(|known| known.clock == clock.clock) {
            None => {
                let due = local(clock.due.as_ref());
                words.push(format!("{name} started, due {due}, now {status}"));
            }
            Some(known) => {
                let was = word(known.status().as_str_name(), "CLOCK_STATUS_");
                if was != status {
                    words.push(format!("{name}: {was} → {status}"));
                }
                if known.due != clock.due {
                    let (was, now) = (local(known.due.as_ref()), local(clock.due.as_ref()));
                    words.push(format!("{name} is due {now} instead of {was}"));
                }
                if clock.warned && !known.warned {
                    words.push(format!("{name} warned at {}", local(clock.warn_at.as_ref())));
                }
            }
        }
    }
}

fn gates(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    for gate in &after.gates {
        let name = word(gate.gate().as_str_name(), "GATE_");
        let known = before.gates.iter().find(|known| known.gate == gate.gate);
        match (known.is_some_and(|known| known.holds), gate.holds) {
            (false, true) if gate.waived => words.push(format!("gate {name} is waived")),
            (false, true) => words.push(format!("gate {name} holds")),
            (true, false) => words.push(format!("gate {name} holds no more: {}", gate.missing.join("; "))),
            (false, false) | (true, true) => {}
        }
    }
}

fn verdicts(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    for verdict in &after.verdicts {
        let name = format!("verdict {} on {}", verdict.verdict, verdict.unit);
        let status = word(verdict.status().as_str_name(), "VERDICT_STATUS_");
        match before.verdicts.iter().find(|known| known.verdict == verdict.verdict) {
            None if verdict.at_fault => {
                let (points, money) = (verdict.points, yuan(verdict.penalty_fen));
                words.push(format!(
                    "{name}: at fault by {}, {points} points, {money}, {status}",
                    verdict.rule
                ));
            }
            None => words.push(format!("{name}: not at fault, {status}")),
            Some(known) => {
                let was = word(known.status().as_str_name(), "VERDICT_STATUS_");
                if was != status {
                    words.push(format!("{name}: {was} → {status}"));
                }
                if verdict.carried_out && !known.carried_out {
                    words.push(format!("{name} is carried out"));
                }
            }
        }
    }
    for measure in &after.measures {
        let name = format!("measure {} of {}", measure.measure, measure.owner);
        let known = before.measures.iter().find(|known| known.measure == measure.measure);
        if known.is_none() {
            words.push(format!("{name} is planned for {}", measure.due_on));
        }
        if measure.carried_out && !known.is_some_and(|known| known.carried_out) {
            words.push(format!("{name} is carried out"));
        }
    }
    for escalation in &after.escalations {
        let rung = word(escalation.rung().as_str_name(), "RUNG_");
        let status = word(escalation.status().as_str_name(), "ESCALATION_STATUS_");
        let known = before.escalations.iter().find(|known| known.escalation == escalation.escalation);
        if known.map(api::EscalationView::status) != Some(escalation.status()) {
            words.push(format!(
                "escalation {} ({rung}) on clock {}: {status}",
                escalation.escalation, escalation.clock
            ));
        }
    }
}

fn receipts_and_dues(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    for (index, request) in after.requests.iter().enumerate() {
        let body = request.request.as_ref().map_or_else(String::new, |request| {
            format!("{} {}", word(request.body().as_str_name(), "CHANNEL_"), request.number)
        });
        match (before.requests.get(index).is_some_and(|known| known.owed), request.owed) {
            (false, true) => words.push(format!("a receipt is owed to {body}")),
            (true, false) => words.push(format!("the receipt owed to {body} was given")),
            (false, false) | (true, true) => {}
        }
    }
    for due in &after.dues {
        let reason = word(due.reason().as_str_name(), "DUE_REASON_");
        let name = format!("due {} ({reason}, {})", due.due, yuan(due.amount_fen));
        let known = before.dues.iter().find(|known| known.due == due.due);
        if known.is_none() {
            words.push(format!("{name} is owed to the customer"));
        }
        if due.approved && !known.is_some_and(|known| known.approved) {
            words.push(format!("{name} is approved"));
        }
        if due.settled && !known.is_some_and(|known| known.settled) {
            words.push(format!("{name} has reached the customer"));
        }
    }
}

fn other_facts(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    for milestone in after.milestones.iter().skip(before.milestones.len()) {
        let name = word(milestone.milestone().as_str_name(), "MILESTONE_");
        words.push(format!("milestone {name} was reached {}", local(milestone.reached_at.as_ref())));
    }
    for appointment in &after.appointments {
        let known = before.appointments.iter().find(|known| known.appointment == appointment.appointment);
        let outcome = word(appointment.outcome().as_str_name(), "APPOINTMENT_OUTCOME_");
        let slot = local(appointment.from.as_ref());
        if known.is_none() {
            words.push(format!("appointment {} was made for {slot}", appointment.appointment));
        }
        if known.map(api::AppointmentView::outcome).unwrap_or_default() != appointment.outcome() {
            words.push(format!("appointment {}: {outcome}", appointment.appointment));
        }
    }
    if after.service_up_at != before.service_up_at {
        match &after.service_up_at {
            Some(up) => words.push(format!("service has been up since {}", local(Some(up)))),
            None => words.push("service is not proved up any more".to_owned()),
        }
    }
    if after.last_test_passed != before.last_test_passed {
        words.push(match after.last_test_passed {
            Some(true) => "the last line test passed".to_owned(),
            Some(false) => "the last line test failed".to_owned(),
            None => "no line test counts any more".to_owned(),
        });
    }
    for (what, then, now) in [
        ("urges of the customer", before.urges, after.urges),
        ("delays told to the customer", before.delays_notified, after.delays_notified),
        ("reopenings", before.reopened, after.reopened),
    ] {
        if then != now {
            words.push(format!("{what}: {then} → {now}"));
        }
    }
    match (&before.open_finding, &after.open_finding) {
        (then, Some(finding)) if then.as_ref() != Some(finding) => {
            words.push(format!("an auditor's finding is open: event {finding}"));
        }
        (Some(_), None) => words.push("the auditor's finding is answered by a reopening".to_owned()),
        _ => {}
    }
    match (&before.certificate, &after.certificate) {
        (None, Some(_)) => words.push("a certificate is in force".to_owned()),
        (Some(_), None) => words.push("the certificate is in force no more".to_owned()),
        _ => {}
    }
    for named in after.involved.iter().filter(|unit| !before.involved.contains(unit)) {
        words.push(format!("{named} is involved"));
    }
}

/// How much longer each holder had it.
fn custody(before: &api::Ticket, after: &api::Ticket, words: &mut Vec<String>) {
    let sums = |ticket: &api::Ticket| {
        let mut sums = std::collections::BTreeMap::new();
        for stretch in ticket.custody.iter().filter(|stretch| stretch.holder != "nobody") {
            *sums.entry(stretch.holder.clone()).or_insert(0) += stretch.seconds;
        }
        sums
    };
    let then = sums(before);
    for (holder, seconds) in sums(after) {
        let more = seconds.saturating_sub(then.get(&holder).copied().unwrap_or(0));
        if more > 0 {
            words.push(format!("{holder} had it for {more} s more"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_said_once_and_nothing_is_said_where_nothing_changed() {
        let row = |stage: duban_proto::event::v1::Stage, holder: &str| api::TicketSummary {
            stage: stage.into(),
            holder: holder.into(),
            round: 1,
            state: api::TicketState::Open.into(),
            ..Default::default()
        };
        use duban_proto::event::v1::Stage;
        let order = |status: api::OrderStatus| api::OrderView {
            order: 1,
            unit: "line-crew".into(),
            part: duban_proto::event::v1::OrderPart::Lead.into(),
            status: status.into(),
            ..Default::default()
        };
        let held =
            |seconds| api::CustodyStretch { holder: "line-crew".into(), seconds, ..Default::default() };
        let before = api::Ticket {
            summary: Some(row(Stage::Reply, "line-crew")),
            orders: vec![order(api::OrderStatus::Accepted)],
            custody: vec![held(60)],
            ..Default::default()
        };
        let after = api::Ticket {
            summary: Some(row(Stage::Feedback, "desk")),
            orders: vec![api::OrderView { replies: 1, ..order(api::OrderStatus::Replied) }],
            custody: vec![held(90)],
            ..Default::default()
        };
        assert_eq!(
            changes(&before, &after),
            [
                "stage: reply → feedback",
                "held by: line-crew → desk",
                "order 1 (lead) of line-crew: accepted → replied",
                "order 1 was replied to",
                "line-crew had it for 30 s more",
            ]
        );
        assert_eq!(changes(&after, &after), [""; 0]);
        let first = changes(&api::Ticket::default(), &before);
        assert_eq!(first[1], "it is at reply, round 1, with line-crew");
    }
}
