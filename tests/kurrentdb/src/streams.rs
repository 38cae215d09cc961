//! The service that clients append to, read from and subscribe to.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use regex::Regex;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::convert::{self, Spelling};
use crate::core::{Core, Shared, now_ticks};
use crate::log::{APPEND_BYTES_MAX, Expected, Record, View, Window};
use crate::pb::streams::read_req::options::{self, ReadDirection};
use crate::pb::streams::{
    AppendReq, AppendResp, DeleteReq, DeleteResp, ReadReq, ReadResp, TombstoneReq, TombstoneResp, append_req,
    delete_req, delete_resp, read_req, read_resp, streams_server, tombstone_req, tombstone_resp,
};
use crate::refusals;
use crate::subscription::{Sieve, Source, Subscription, Test};
use crate::write::Outcome;

pub(crate) struct Streams {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: usize,
}

/// Where a read or a subscription begins: a position in the log, or a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Start,
    End,
    At(u64),
}

type Answers = Pin<Box<dyn Stream<Item = Result<ReadResp, Status>> + Send>>;

fn leader_only(metadata: &MetadataMap) -> bool {
    let value = metadata.get("requires-leader").and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[tonic::async_trait]
impl streams_server::Streams for Streams {
    type ReadStream = Answers;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Answers>, Status> {
        let leader_only = leader_only(request.metadata());
        let options =
            request.into_inner().options.ok_or_else(|| refusals::invalid("a read without options"))?;
        let mut core = self.shared.lock();
        self.shared.admit(&core, self.node, leader_only)?;
        let answers: Answers = match options.count_option {
            Some(read_req::options::CountOption::Count(count)) => {
                self.shared.count(|counters| counters.reads += 1);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                Box::pin(futures::stream::iter(self.page(&core, options, count)?.into_iter().map(Ok)))
            }
            Some(read_req::options::CountOption::Subscription(_)) => {
                Box::pin(self.subscription(&mut core, options)?.into_stream())
            }
            None => return Err(refusals::invalid("a read without a count")),
        };
        Ok(Response::new(answers))
    }

    async fn append(&self, request: Request<Streaming<AppendReq>>) -> Result<Response<AppendResp>, Status> {
        let leader_only = leader_only(request.metadata());
        let mut messages = request.into_inner();
        let first = messages.message().await?.and_then(|message| message.content);
        let Some(append_req::Content::Options(options)) = first else {
            return Err(refusals::invalid("an append that does not begin with options"));
        };
        let stream = convert::stream_name(options.stream_identifier)?;
        let expected = match options.expected_stream_revision {
            Some(append_req::options::ExpectedStreamRevision::Revision(revision)) => {
                Expected::Exact(revision)
            }
            Some(append_req::options::ExpectedStreamRevision::NoStream(_)) => Expected::NoStream,
            Some(append_req::options::ExpectedStreamRevision::StreamExists(_)) => Expected::StreamExists,
            Some(append_req::options::ExpectedStreamRevision::Any(_)) => Expected::Any,
            None => return Err(refusals::invalid("an append without an expected revision")),
        };
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(message) = messages.message().await? {
            let Some(append_req::Content::ProposedMessage(message)) = message.content else {
                return Err(refusals::invalid("an append with options in the middle"));
            };
            let event = convert::proposal(message)?;
            bytes += event.data.len();
            if bytes > APPEND_BYTES_MAX {
                return Err(refusals::append_too_large());
            }
            events.push(event);
        }
        let outcome = self.shared.append(self.node, leader_only, &stream, expected, events).await?;
        let repeated = matches!(outcome, Outcome::Written { repeated: true, .. });
        let positions = !repeated || self.shared.config.repeats_have_positions;
        Ok(Response::new(convert::appended(outcome, expected, positions)))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        use delete_req::options::ExpectedStreamRevision as Wanted;

        let leader_only = leader_only(request.metadata());
        let options =
            request.into_inner().options.ok_or_else(|| refusals::invalid("a delete without options"))?;
        let stream = convert::stream_name(options.stream_identifier)?;
        let expected = match options.expected_stream_revision {
            Some(Wanted::Revision(revision)) => Expected::Exact(revision),
            Some(Wanted::NoStream(_)) => Expected::NoStream,
            Some(Wanted::StreamExists(_)) => Expected::StreamExists,
            Some(Wanted::Any(_)) => Expected::Any,
            None => return Err(refusals::invalid("a delete without an expected revision")),
        };
        let position = self.shared.delete(self.node, leader_only, &stream, expected, false).await?;
        let position = delete_resp::Position { commit_position: position, prepare_position: position };
        let position_option = Some(delete_resp::PositionOption::Position(position));
        Ok(Response::new(DeleteResp { position_option }))
    }

    async fn tombstone(&self, request: Request<TombstoneReq>) -> Result<Response<TombstoneResp>, Status> {
        use tombstone_req::options::ExpectedStreamRevision as Wanted;

        let leader_only = leader_only(request.metadata());
        let options =
            request.into_inner().options.ok_or_else(|| refusals::invalid("a tombstone without options"))?;
        let stream = convert::stream_name(options.stream_identifier)?;
        let expected = match options.expected_stream_revision {
            Some(Wanted::Revision(revision)) => Expected::Exact(revision),
            Some(Wanted::NoStream(_)) => Expected::NoStream,
            Some(Wanted::StreamExists(_)) => Expected::StreamExists,
            Some(Wanted::Any(_)) => Expected::Any,
            None => return Err(refusals::invalid("a tombstone without an expected revision")),
        };
        let position = self.shared.delete(self.node, leader_only, &stream, expected, true).await?;
        let position = tombstone_resp::Position { commit_position: position, prepare_position: position };
        let position_option = Some(tombstone_resp::PositionOption::Position(position));
        Ok(Response::new(TombstoneResp { position_option }))
    }
}

impl Streams {
    fn page(&self, core: &Core, options: read_req::Options, count: usize) -> Result<Vec<ReadResp>, Status> {
        let backwards = options.read_direction() == ReadDirection::Backwards;
        let talkative = options.control_option.is_some_and(|control| control.compatibility >= 1);
        let spelling = self.spelling(&options);
        let view = core.members[self.node].view(now_ticks());
        match options.stream_option {
            Some(read_req::options::StreamOption::Stream(stream)) => {
                let from = revision(stream.revision_option);
                let name = convert::stream_name(stream.stream_identifier)?;
                let spelling =
                    Spelling { positions: self.shared.config.stream_reads_have_positions, ..spelling };
                stream_page(core, view, &name, from?, backwards, count, talkative, spelling)
            }
            Some(read_req::options::StreamOption::All(all)) => {
                let sieve = sieve(options.filter_option)?;
                let passes = |record: &&Arc<Record>| sieve.as_ref().is_none_or(|s| s.passes(record));
                let there = |index: &usize| !view.dropped.contains(index);
                let events: Vec<_> = if backwards {
                    // The event at the position itself is not read.
                    let end = match position(all.all_option)? {
                        From::Start => 0,
                        From::End => view.limit,
                        From::At(position) => core.log.index_at(position).min(view.limit),
                    };
                    let records = (0..end).rev().filter(there).map(|index| core.log.record(index));
                    records.filter(passes).take(count).map(|r| convert::event(r, spelling)).collect()
                } else {
                    let start = match position(all.all_option)? {
                        From::Start => 0,
                        From::End => view.limit,
                        From::At(position) => core.log.index_at(position),
                    };
                    let records = (start..view.limit).filter(there).map(|index| core.log.record(index));
                    records.filter(passes).take(count).map(|r| convert::event(r, spelling)).collect()
                };
                Ok(events)
            }
            None => Err(refusals::invalid("a read of nothing")),
        }
    }

    fn subscription(&self, core: &mut Core, options: read_req::Options) -> Result<Subscription, Status> {
        let spelling = self.spelling(&options);
        let view = core.members[self.node].view(now_ticks());
        let source = match options.stream_option {
            Some(read_req::options::StreamOption::Stream(stream)) => {
                let name = convert::stream_name(stream.stream_identifier)?;
                let next = match revision(stream.revision_option)? {
                    From::Start => 0,
                    From::End => core.log.entries(&name, view.limit).len() as u64,
                    From::At(revision) => revision.saturating_add(1),
                };
                Source::Stream { name, next }
            }
            Some(read_req::options::StreamOption::All(all)) => {
                let next = match position(all.all_option)? {
                    From::Start => 0,
                    From::End => view.limit,
                    // As the real server does it: it skips one event, which is the one at the position. A node that has not got
                    // that far yet skips nothing and goes live where it is, so that its client sees events again that
                    // it has seen elsewhere.
                    From::At(position) => (core.log.index_at(position) + 1).min(view.limit),
                };
                Source::All { next, sieve: sieve(options.filter_option)?, looked_at: 0 }
            }
            None => return Err(refusals::invalid("a subscription to nothing")),
        };
        Ok(Subscription::new(Arc::clone(&self.shared), core, self.node, source, spelling))
    }

    fn spelling(&self, options: &read_req::Options) -> Spelling {
        let content = options.uuid_option.and_then(|option| option.content);
        let ids_as_text = matches!(content, Some(options::uuid_option::Content::String(_)));
        Spelling { ids_as_text, positions: true }
    }
}

#[expect(clippy::too_many_arguments, reason = "one request, taken apart")]
fn stream_page(
    core: &Core,
    view: View<'_>,
    name: &str,
    from: From,
    backwards: bool,
    count: usize,
    talkative: bool,
    spelling: Spelling,
) -> Result<Vec<ReadResp>, Status> {
    let said = |content| ReadResp { content: Some(content) };
    let (first, last) = match core.log.window(name, view) {
        Window::Deleted => return Err(refusals::stream_deleted(name)),
        Window::NotFound => {
            let stream_identifier = Some(convert::identifier(name));
            let unknown = read_resp::StreamNotFound { stream_identifier };
            return Ok(vec![said(read_resp::Content::StreamNotFound(unknown))]);
        }
        Window::Open { first, last, .. } => (first, last),
    };
    let mut answers: Vec<_> = if backwards {
        let end = match from {
            From::Start => 1,
            From::End => u64::MAX,
            From::At(revision) => revision.saturating_add(1),
        };
        let records = core.log.readable(name, view, 0..end).rev().take(count);
        records.map(|record| convert::event(&record, spelling)).collect()
    } else {
        let start = match from {
            From::Start => 0,
            From::End => return Err(refusals::invalid("reading forwards from the end")),
            From::At(revision) => revision,
        };
        let records = core.log.readable(name, view, start..u64::MAX).take(count);
        let events: Vec<_> = records.map(|record| convert::event(&record, spelling)).collect();
        let next = if start < first { first } else { last + 1 };
        if talkative && events.is_empty() && start != next {
            vec![said(read_resp::Content::FirstStreamPosition(next))]
        } else {
            events
        }
    };
    if talkative {
        answers.push(said(read_resp::Content::LastStreamPosition(last)));
    }
    Ok(answers)
}

fn revision(option: Option<options::stream_options::RevisionOption>) -> Result<From, Status> {
    use options::stream_options::RevisionOption;
    match option {
        Some(RevisionOption::Start(_)) => Ok(From::Start),
        Some(RevisionOption::End(_) | RevisionOption::Revision(u64::MAX)) => Ok(From::End),
        // The server counts in signed integers.
        Some(RevisionOption::Revision(revision)) if i64::try_from(revision).is_ok() => Ok(From::At(revision)),
        Some(RevisionOption::Revision(_)) | None => Err(refusals::invalid("the revision to read from")),
    }
}

fn position(option: Option<options::all_options::AllOption>) -> Result<From, Status> {
    use options::all_options::AllOption;
    match option {
        Some(AllOption::Start(_)) => Ok(From::Start),
        Some(AllOption::End(_)) => Ok(From::End),
        Some(AllOption::Position(at)) if at.commit_position < at.prepare_position => {
            Err(refusals::invalid("a position that is committed before it is prepared"))
        }
        Some(AllOption::Position(at)) if at.commit_position == u64::MAX => Ok(From::End),
        Some(AllOption::Position(at)) => Ok(From::At(at.commit_position)),
        None => Err(refusals::invalid("a read from nowhere")),
    }
}

fn sieve(option: Option<read_req::options::FilterOption>) -> Result<Option<Sieve>, Status> {
    use options::filter_options::{Filter, Window};

    let Some(read_req::options::FilterOption::Filter(options)) = option else { return Ok(None) };
    let (expression, on_streams) = match options.filter {
        Some(Filter::StreamIdentifier(expression)) => (expression, true),
        Some(Filter::EventType(expression)) => (expression, false),
        None => return Err(refusals::invalid("a filter on nothing")),
    };
    let test = if expression.regex.is_empty() {
        Test::Prefixes(expression.prefix)
    } else {
        let pattern = Regex::new(&expression.regex);
        Test::Pattern(pattern.map_err(|_| refusals::invalid("the filter's regular expression"))?)
    };
    let window = match options.window {
        Some(Window::Max(max)) => usize::try_from(max).ok(),
        Some(Window::Count(_)) => None,
        None => return Err(refusals::invalid("a filter without a window")),
    };
    let windows_per_checkpoint = match usize::try_from(options.checkpoint_interval_multiplier) {
        Ok(windows) if windows > 0 => windows,
        _ => return Err(refusals::invalid("a filter without a checkpoint interval")),
    };
    Ok(Some(Sieve { test, on_streams, window, windows_per_checkpoint }))
}
