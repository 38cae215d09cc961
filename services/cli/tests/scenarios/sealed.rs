//! What customers say and who they are stands nowhere in the clear: not in the log, the read models, or the log lines.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use duban_client::TokenHolder;
use duban_proto::api::v1 as api;
use duban_proto::event::v1::TicketKind;
use duban_tests::commands as c;
use duban_tests::outside::Served;
use duban_tests::repository::files;
use duban_tests::script::{Case, way};
use duban_tests::wire::Wire;

use crate::program;

pub(super) const NAME: &str = "欧阳样例甲";
pub(super) const PHONE: &str = "13987650123";
pub(super) const ADDRESS: &str = "样例路一百二十三号四单元";
pub(super) const NUMBER: &str = "ad9876501234";
pub(super) const DESCRIPTION: &str = "孩子上网课总是掉线";

/// A text in the forms in which it might lie in a file, each with its name.
pub(super) fn forms(text: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = text.as_bytes();
    let hex = |upper: bool| {
        let byte = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        bytes.iter().map(byte).collect::<String>().into_bytes()
    };
    let mut forms = vec![
        ("UTF-8".to_owned(), bytes.to_vec()),
        ("UTF-16LE".to_owned(), text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE".to_owned(), text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("hex".to_owned(), hex(false)),
        ("HEX".to_owned(), hex(true)),
    ];
    for before in 0..3 {
        // Inside a longer text the same bytes have three looks; the characters that neighbours share are left out.
        let mut padded = vec![0; before];
        padded.extend_from_slice(bytes);
        let encoded = STANDARD_NO_PAD.encode(&padded);
        let from = (before * 8).div_ceil(6);
        let until = padded.len() * 8 / 6;
        forms.push((format!("base64 after {before}"), encoded.as_bytes()[from..until].to_vec()));
    }
    forms
}

pub(super) fn contains(bytes: &[u8], sought: &[u8]) -> bool {
    bytes.windows(sought.len()).any(|window| window == sought)
}

/// Walks one ticket whose every text is the customer's, through its department's hands.
pub(super) async fn walked(wire: &Wire) -> Case {
    let mut case = Case::new("sealed", TicketKind::Complaint);
    let command = case.next_id();
    let mut request = c::take_in_request(&case, &command);
    request.description = DESCRIPTION.into();
    request.remedy = Some(format!("请回电 {PHONE}"));
    request.customer = Some(api::CustomerInput {
        name: NAME.into(),
        phone: PHONE.into(),
        address: Some(ADDRESS.into()),
        ..request.customer.unwrap_or_default()
    });
    request.service =
        Some(api::ServiceInput { number: NUMBER.into(), ..request.service.unwrap_or_default() });
    let sent = case.sent("DeskService/TakeIn", TokenHolder::new("desk", "desk"), &command, &request);
    wire.send(&sent).await.expect("the ticket is taken in");
    for make in way(case.kind).into_iter().flat_map(|(_, commands)| commands) {
        case.done(wire, make).await;
    }
    let finding = api::FileFindingRequest {
        ticket_id: case.ticket.clone(),
        command_id: case.next_id(),
        expected_revision: None,
        finding: format!("{NAME}反映{DESCRIPTION}"),
    };
    let command = finding.command_id.clone();
    let sent =
        case.sent("AuditService/FileFinding", TokenHolder::new("auditor", "audit"), &command, &finding);
    wire.send(&sent).await.expect("an auditor files a finding");
    case
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_phone_address_number_or_description_lies_in_the_clear_in_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut served = Served::start(program(), directory.path()).await;
    let wire = served.wire().await;
    let case = walked(&wire).await;
    let state = case.state(&wire).await.unwrap();
    let customer = state.customer.unwrap_or_default();
    assert_eq!(
        (customer.name.as_deref(), customer.phone.as_deref()),
        (Some(NAME), Some(PHONE)),
        "the desk may read it"
    );
    assert_eq!(state.description.as_deref(), Some(DESCRIPTION));

    // A refused command must not be written down either, in no log line.
    let mut broken = c::take_in_request(&Case::new("sealed-2", TicketKind::Complaint), "");
    broken.description = DESCRIPTION.into();
    broken.customer =
        Some(api::CustomerInput { name: NAME.into(), phone: PHONE.into(), ..Default::default() });
    let sent = case.sent("DeskService/TakeIn", TokenHolder::new("desk", "desk"), "", &broken);
    assert!(wire.send(&sent).await.is_err());
    served.kill().await;

    let files = files(directory.path());
    assert!(files.iter().any(|file| file.starts_with(served.data())), "there are files to look at");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for text in [NAME, PHONE, ADDRESS, NUMBER, DESCRIPTION] {
            for (form, sought) in forms(text) {
                assert!(!contains(&bytes, &sought), "{text} lies in {} as {form}", file.display());
            }
        }
    }
}

#[test]
fn the_forms_find_a_text_wherever_it_begins() {
    for before in 0..4 {
        let padded = [vec![b'x'; before], PHONE.as_bytes().to_vec(), b"yz".to_vec()].concat();
        let encoded = STANDARD_NO_PAD.encode(padded);
        let found = forms(PHONE).into_iter().any(|(_, form)| contains(encoded.as_bytes(), &form));
        assert!(found, "{before} bytes before");
    }
}
