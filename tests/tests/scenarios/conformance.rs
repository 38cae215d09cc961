//! Conformance over gRPC: what the rules wrote conforms, what somebody wrote past them is found, and foreign histories are held to the
//! same measure.

use duban_aggregates::actor::Actor;
use duban_aggregates::ids::{CommandId, HistoryId, stream_event_id};
use duban_aggregates::imported::{Event, Step};
use duban_aggregates::meta::Meta;
use duban_aggregates::words::{Role, Stage};
use duban_client::TokenHolder;
use duban_codec::Lineage;
use duban_log::{Expected, NewEvent, StreamName};
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as pb;
use duban_tests::histories::auditor;
use duban_tests::inside::Inside;
use duban_tests::refusal::refused;
use duban_tests::script::Case;
use duban_tests::wire::Wire;
use tonic::{Code, Status};
use uuid::Uuid;

/// Steps of a foreign case, past every rule; answers the last one's position.
async fn foreign(inside: &Inside, case: u128, stages: &[Stage]) -> String {
    let history = HistoryId(Uuid::from_u128(case));
    let actor = Actor { id: "import".into(), role: Role::Import, unit: "import".into() };
    let stream = StreamName::new(format!("imported-{history}")).expect("a name");
    let events = (0..).zip(stages).map(|(revision, stage)| {
        let command = CommandId(Uuid::from_u128(case << 32 | u128::from(revision)));
        let meta = Meta {
            id: stream_event_id(history.0, command, 0),
            revision,
            recorded_at: inside.now(),
            occurred_at: inside.now(),
            actor: actor.clone(),
            command,
            fingerprint: [0; 16],
        };
        let (kind, payload) = duban_codec::encode_imported(&Event::HistoricStep(Step {
            history,
            source: "elsewhere".into(),
            case: format!("Case{case}"),
            activity: stage.name().to_owned(),
            occurred_at: meta.occurred_at,
            stage: Some(*stage),
            resource: Some("e1".into()),
            transition: "complete".into(),
            attributes: Vec::new(),
        }));
        NewEvent {
            id: meta.id.0,
            kind: kind.into(),
            occurred_at: meta.occurred_at.as_microsecond(),
            recorded_at: meta.recorded_at.as_microsecond(),
            tags: Vec::new(),
            metadata: duban_codec::encode_metadata(&meta, &Lineage::default(), ""),
            payload: payload.into(),
        }
    });
    let appended =
        inside.log().append(&stream, Expected::NoStream, events.collect()).await.expect("it is new");
    appended.position.to_string()
}

async fn table(wire: &Wire, origin: Option<&str>, min_position: &str) -> api::GetConformanceResponse {
    let request = api::GetConformanceRequest {
        min_position: min_position.to_owned(),
        origin: origin.map(str::to_owned),
    };
    wire.ask("AuditService/GetConformance", &auditor(), &request).await.expect("an auditor may ask")
}

async fn page(
    wire: &Wire,
    who: &TokenHolder,
    request: &api::ListDeviationsRequest,
) -> Result<api::ListDeviationsResponse, Status> {
    wire.ask("AuditService/ListDeviations", who, request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_history_is_in_one_pattern_and_whoever_deviates_is_listed_with_the_events() {
    let inside = Inside::start().await;
    let wire = inside.wire().await;
    let mut case = Case::new("conforming", pb::TicketKind::Complaint);
    case.bring_to(&wire, pb::Stage::Assess).await;
    let ours = table(&wire, Some("complaint"), &case.position()).await;
    assert_eq!((ours.histories, ours.conforming, ours.adds_up), (1, 1, true), "{ours:?}");

    for case in 1..=5 {
        foreign(&inside, case, &[Stage::Investigate, Stage::Dispatch, Stage::Dispatch]).await;
    }
    foreign(&inside, 6, &[Stage::Investigate, Stage::Dispatch]).await;
    let last = foreign(&inside, 7, &[Stage::Reply, Stage::Inspect]).await;
    let all = table(&wire, None, &last).await;
    assert_eq!((all.histories, all.conforming, all.adds_up), (8, 2, true), "{all:?}");
    let rows: Vec<_> =
        all.patterns.iter().map(|row| (row.origin.as_str(), row.pattern.as_str(), row.histories)).collect();
    assert_eq!(rows[0], ("imported/elsewhere", "repeated dispatch", 5));
    let both = "skipped investigate, dispatch, feedback; own work inspect";
    assert!(rows.contains(&("imported/elsewhere", both, 1)), "{rows:?}");

    let mut request = api::ListDeviationsRequest { page_size: 2, ..Default::default() };
    let mut found = Vec::new();
    loop {
        let page = page(&wire, &inside.who("supervisor"), &request).await.unwrap();
        assert!(page.histories.len() <= 2);
        found.extend(page.histories);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let cases: Vec<_> = found.iter().filter_map(|history| history.case.clone()).collect();
    assert_eq!(cases, ["Case1", "Case2", "Case3", "Case4", "Case5", "Case7"]);
    let shown = &found[0].deviations;
    assert_eq!(shown.len(), 1);
    assert_eq!(
        (shown[0].kind(), shown[0].stage(), shown[0].revision),
        (api::DeviationKind::Repeated, pb::Stage::Dispatch, 2)
    );
    let own_work = api::ListDeviationsRequest {
        kind: Some(api::DeviationKind::OwnWork.into()),
        stage: Some(pb::Stage::Inspect.into()),
        ..Default::default()
    };
    let listed = page(&wire, &auditor(), &own_work).await.unwrap().histories;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].pattern.as_str(), listed[0].case.as_deref()), (both, Some("Case7")));
    let of_pattern =
        api::ListDeviationsRequest { pattern: Some("repeated dispatch".into()), ..Default::default() };
    assert_eq!(page(&wire, &auditor(), &of_pattern).await.unwrap().histories.len(), 5);

    // A page belongs to its filters, and what cannot be read is named.
    let bad = [
        (
            "page_token",
            api::ListDeviationsRequest { page_token: request.page_token.clone(), ..own_work.clone() },
        ),
        ("kind", api::ListDeviationsRequest { kind: Some(99), ..Default::default() }),
        ("stage", api::ListDeviationsRequest { stage: Some(0), ..Default::default() }),
        ("min_position", api::ListDeviationsRequest { min_position: "x".into(), ..Default::default() }),
    ];
    for (field, request) in bad {
        let refusal = refused(page(&wire, &auditor(), &request).await, field);
        assert_eq!(refusal.code, Code::InvalidArgument, "{field}");
        assert!(refusal.field_names().contains(&field), "{field}: {refusal:?}");
    }

    // It is one of the read models: there after a restart, and built anew when it is gone.
    let views = inside.directory().join("data/views/conformance-v2");
    let inside = inside.restart_after(|| std::fs::remove_dir_all(views).expect("it is there")).await;
    let wire = inside.wire().await;
    assert_eq!(table(&wire, None, &last).await, all);
    inside.stop().await;
}
