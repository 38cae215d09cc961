//! Feedback 反馈, by the desk.

use duban_aggregates::ids::OrderNo;
use duban_aggregates::ticket::chain;
use duban_proto::api::v1 as api;
use duban_proto::api::v1::feedback_service_server::FeedbackService;
use tonic::Request;

use super::command::{Answered, Api};
use super::read::{read, take};

#[tonic::async_trait]
impl FeedbackService for Api {
    async fn record_feedback(&self, request: Request<api::RecordFeedbackRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            read! {
                answer: take("answer", asked.answer);
                words: texts.text("words", &asked.words);
                recording: take("recording", asked.recording.clone());
            }
            let investigate_again = asked.investigate_again;
            Ok(chain::Command::RecordFeedback { answer, words, recording, investigate_again })
        })
        .await
    }

    async fn attempt_contact(&self, request: Request<api::AttemptContactRequest>) -> Answered {
        self.on_ticket(request, |_, asked| {
            Ok(chain::Command::AttemptContact { recording: take("recording", asked.recording.clone())? })
        })
        .await
    }

    async fn send_reply_back(&self, request: Request<api::SendReplyBackRequest>) -> Answered {
        self.on_ticket(request, |texts, asked| {
            let assists = asked.assists.iter().copied().map(OrderNo).collect();
            Ok(chain::Command::SendReplyBack { assists, reason: texts.text("reason", &asked.reason)? })
        })
        .await
    }
}
