//! Opening sealed texts in answers, for those who may read them.

use std::sync::LazyLock;

use duban_aggregates::ids::CustomerId;
use duban_aggregates::sealed::Sealed;
use duban_codec::Wire;
use duban_log::Recorded;
use duban_proto::api::v1 as api;
use duban_proto::event::v1 as pb;
use duban_vault::seal::{Sealer, Unreadable};

use crate::error::HistoryError;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};

const SEALED: &str = "duban.event.v1.Sealed";

/// Opens texts, or leaves all of them shut.
#[derive(Debug)]
pub struct TextOpener {
    sealer: Option<Sealer>,
    may: bool,
}

impl TextOpener {
    /// Opens with these keys for whoever may read; without keys every text stays shut.
    #[must_use]
    pub fn new(sealer: Option<Sealer>, may: bool) -> Self {
        Self { sealer, may }
    }

    /// Whether nobody can open the customer's texts any more; no secret from those who may not.
    #[must_use]
    pub fn is_erased(&self, customer: CustomerId) -> bool {
        self.sealer.as_ref().is_some_and(|sealer| sealer.is_erased(customer))
    }

    /// The plain text; absent where the caller may not read it, or the key was erased.
    #[must_use]
    pub fn open(&self, sealed: &Sealed) -> Option<String> {
        let opened = self.sealer.as_ref().filter(|_| self.may)?.open(sealed);
        opened
            .inspect_err(|why| {
                // An erasure is meant; anything else is the operator's to see.
                if !matches!(why, Unreadable::Erased) {
                    tracing::error!(error = %why, customer = %sealed.customer, "a sealed text cannot be opened");
                }
            })
            .ok()
    }

    /// A stored event, with its texts as far as the caller may read them.
    ///
    /// # Errors
    /// [`HistoryError::Unreadable`], where it cannot be read.
    pub fn event(&self, recorded: &Recorded) -> Result<api::HistoryEvent, HistoryError> {
        let unreadable = |reason: String| HistoryError::unreadable(recorded, &reason);
        let stored = duban_projections::stored(recorded);
        let event = duban_codec::to_event(&stored).map_err(|error| unreadable(error.to_string()))?;
        let mut texts = Vec::new();
        if self.may {
            let message = dynamic(&event).map_err(|error| unreadable(error.to_string()))?;
            for (field, value) in message.fields() {
                // The payload is the one message of the envelope that holds texts; paths begin inside it.
                if field.containing_oneof().is_some()
                    && let Value::Message(payload) = value
                {
                    self.walk(payload, "", &mut texts);
                }
            }
        }
        Ok(api::HistoryEvent { event: Some(event), texts })
    }

    fn walk(&self, message: &DynamicMessage, path: &str, texts: &mut Vec<api::OpenedText>) {
        for (field, value) in message.fields() {
            let name = field.name();
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            match value {
                Value::Message(inner) => self.inner(inner, path, texts),
                Value::List(elements) => {
                    for (index, element) in elements.iter().enumerate() {
                        if let Value::Message(inner) = element {
                            self.inner(inner, format!("{path}[{index}]"), texts);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn inner(&self, message: &DynamicMessage, path: String, texts: &mut Vec<api::OpenedText>) {
        if message.descriptor().full_name() != SEALED {
            return self.walk(message, &path, texts);
        }
        let sealed = message.transcode_to::<pb::Sealed>().ok();
        let sealed = sealed.and_then(|sealed| Sealed::take(Some(sealed), "sealed").ok());
        texts.push(api::OpenedText { path, text: sealed.and_then(|sealed| self.open(&sealed)) });
    }
}

fn dynamic(event: &pb::Event) -> Result<DynamicMessage, prost::DecodeError> {
    static ENVELOPE: LazyLock<MessageDescriptor> = LazyLock::new(|| {
        let envelope = duban_codec::descriptors().get_message_by_name("duban.event.v1.Event");
        envelope.expect("the contract has an envelope")
    });
    DynamicMessage::decode(ENVELOPE.clone(), event.encode_to_vec().as_slice())
}
