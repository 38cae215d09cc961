//! Which histories went the way of the chain, and how the others deviate, read from a log as a server answers it.

use std::ops::ControlFlow;

use duban_codec::Wire;
use duban_log::Reader;
use duban_projections::conformance::{Counted, Deviation, History, How, Patterns, Wanted};
use duban_projections::{Conformance, ConformanceFold, FoldError, Stopped};
use duban_proto::api::v1 as api;

/// Why histories cannot be held against the chain.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] duban_log::Error),
    /// An event cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// What was folded cannot be read.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A log that was read whole, and how many histories begin in it.
pub struct ConformanceOfLog {
    conformance: Box<Conformance>,
    begun: u64,
}

impl ConformanceOfLog {
    /// Reads a log whole; told how many more events were read.
    ///
    /// # Errors
    /// [`ConformanceError`].
    pub fn read(reader: &Reader, progress: &(dyn Fn(u64) + Sync)) -> Result<Self, ConformanceError> {
        let conformance = Box::new(Conformance::of_log(ConformanceFold, reader, progress)?);
        Ok(Self { conformance, begun: begun(reader)? })
    }

    /// The table of patterns, of one origin or all. It adds up where every history is in one pattern, and where no origin is named, to
    /// the streams that begin in the log, of which the table knows nothing.
    ///
    /// # Errors
    /// [`ConformanceError::Stopped`].
    pub fn patterns(&self, origin: Option<&str>) -> Result<api::GetConformanceResponse, ConformanceError> {
        let patterns = self.conformance.patterns(origin)?;
        let whole = origin.is_some() || patterns.histories == self.begun;
        let mut answer = patterns_answer(patterns);
        answer.adds_up &= whole;
        Ok(answer)
    }

    /// Every history that deviates, of one origin and in one pattern where they are named.
    ///
    /// # Errors
    /// [`ConformanceError::Stopped`], and whatever `each` answers.
    pub fn deviating<E: From<ConformanceError>>(
        &self,
        origin: Option<&str>,
        pattern: Option<&str>,
        mut each: impl FnMut(api::DeviatingHistory) -> Result<(), E>,
    ) -> Result<(), E> {
        let named = |text: Option<&str>| text.map(str::to_owned);
        let wanted = Wanted { origin: named(origin), pattern: named(pattern), ..Wanted::default() };
        let mut after = None;
        loop {
            let page = self.conformance.deviating(&wanted, after, PAGE);
            let (page, next) = page.map_err(ConformanceError::from)?;
            page.iter().map(deviating_history).try_for_each(&mut each)?;
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }
}

/// Histories read at a time.
const PAGE: usize = 500;

/// The table of patterns as answers say it.
#[must_use]
pub fn patterns_answer(patterns: Patterns) -> api::GetConformanceResponse {
    let (conforming, adds_up) = (patterns.conforming(), patterns.add_up());
    let view = |Counted { origin, pattern, histories }| api::PatternView { origin, pattern, histories };
    api::GetConformanceResponse {
        histories: patterns.histories,
        conforming,
        adds_up,
        patterns: patterns.counted.into_iter().map(view).collect(),
    }
}

/// A history that deviates as answers say it.
#[must_use]
pub fn deviating_history(history: &History) -> api::DeviatingHistory {
    let found = |Deviation { how, stage, revision }| api::DeviationView {
        kind: match how {
            How::Skipped => api::DeviationKind::Skipped,
            How::OutOfOrder => api::DeviationKind::OutOfOrder,
            How::Repeated => api::DeviationKind::Repeated,
            How::OwnWork => api::DeviationKind::OwnWork,
        }
        .into(),
        stage: stage.put(),
        revision,
    };
    api::DeviatingHistory {
        history_id: history.id.to_string(),
        stream: history.stream.clone(),
        origin: history.origin.clone(),
        case: history.case.clone(),
        pattern: history.pattern().to_string(),
        deviations: history.deviations().into_iter().map(found).collect(),
    }
}

/// How many histories begin in a log, by its streams' names alone.
fn begun(reader: &Reader) -> Result<u64, duban_log::Error> {
    const PREFIXES: [&str; 4] = ["complaint-", "fault-", "install-", "imported-"];
    let mut begun = 0;
    reader.scan(|view| {
        let first = view.revision == 0 && PREFIXES.iter().any(|prefix| view.stream.starts_with(prefix));
        begun += u64::from(first);
        Ok::<_, duban_log::Error>(ControlFlow::Continue(()))
    })?;
    Ok(begun)
}
