//! Measuring a disk and the log on it, in the same run: figures without the raw syncs beside them say nothing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use crate::disk::{Access, Disk, RealDisk};
use crate::{Error, EventLog, Expected, NewEvent, Options, Reader, SegmentedLog, StreamName, verify};

/// Bytes of one event of the benchmark, header and payload together.
pub const EVENT_BYTES: usize = 390;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Raw `fdatasync` a second, each after overwriting 4 KiB of a preallocated file.
    pub syncs_overwriting_per_second: f64,
    /// Raw `fdatasync` a second, each after extending a file by 4 KiB.
    pub syncs_extending_per_second: f64,
    /// Awaited appends of one event a second, for the numbers of concurrent writers that were asked for.
    pub appends: [Appends; 3],
    /// Events a second that a scan checks and looks at, on all cores.
    pub scanned_per_second: f64,
    /// Bytes a second that a verification reads, on all cores.
    pub verified_bytes_per_second: f64,
}

/// Appends with a number of concurrent writers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Appends {
    /// Concurrent writers, each awaiting its append before the next.
    pub writers: usize,
    /// Awaited appends a second, all writers together.
    pub per_second: f64,
    /// Median time of one append, in microseconds.
    pub p50_us: f64,
    /// 99th percentile of it, in microseconds.
    pub p99_us: f64,
}

/// Measures in a new directory, for about `each` a figure, and leaves what it wrote. Call it where a tokio runtime with several threads
/// runs, outside of which nothing else should.
///
/// # Errors
/// [`Error::Io`], and what the log answers.
pub async fn run(dir: &Path, each: Duration) -> Result<Figures, Error> {
    let doing = || Error::io(format!("measure {}", dir.display()));
    let raw = dir.to_owned();
    let (syncs_overwriting_per_second, syncs_extending_per_second) =
        tokio::task::spawn_blocking(move || raw_syncs(&raw, each))
            .await
            .map_err(|e| doing()(std::io::Error::other(e)))?
            .map_err(doing())?;
    let path = dir.join("log");
    let log = Arc::new(SegmentedLog::open(&path, Options::default())?);
    let mut appends = [Appends { writers: 0, per_second: 0.0, p50_us: 0.0, p99_us: 0.0 }; 3];
    for (figure, writers) in appends.iter_mut().zip([1, 64, 1024]) {
        *figure = append(&log, writers, each).await?;
    }
    let size = log.head().size;
    log.close().await?;
    drop(log);
    let read = move || -> Result<_, Error> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let start = Instant::now();
        let reader = Reader::open(&path)?;
        let counts = reader.scan_parallel(
            threads,
            |_| 0_u64,
            |count, view| {
                *count += u64::from(!view.payload.is_empty());
                Ok::<_, Error>(())
            },
        )?;
        let scanned = start.elapsed();
        if counts.into_iter().sum::<u64>() != size {
            return Err(Error::invalid("benchmark", "did not find the events that it wrote"));
        }
        let start = Instant::now();
        let report = verify(&path, threads, &|_, _| ())?;
        if let Some(damage) = report.damage {
            return Err(damage.into());
        }
        Ok((scanned, report.bytes, start.elapsed()))
    };
    let (scanned, bytes, verified) =
        tokio::task::spawn_blocking(read).await.map_err(|e| doing()(std::io::Error::other(e)))??;
    Ok(Figures {
        syncs_overwriting_per_second,
        syncs_extending_per_second,
        appends,
        scanned_per_second: rate(size, scanned),
        verified_bytes_per_second: rate(bytes, verified),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn raw_syncs(dir: &Path, each: Duration) -> std::io::Result<(f64, f64)> {
    const PAGES: u64 = 4096;
    let disk = RealDisk::create(dir)?;
    let page = [7; 4096];
    let name = "raw-sync";
    let file = disk.open(name, Access::Create)?;
    for n in 0..PAGES {
        file.write_at(&page, n * 4096)?;
    }
    file.sync()?;
    let measure = |file: &dyn crate::disk::File, pages: u64| {
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < each {
            file.write_at(&page, count % pages * 4096)?;
            file.sync()?;
            count += 1;
        }
        Ok::<_, std::io::Error>(rate(count, start.elapsed()))
    };
    let overwriting = measure(&*file, PAGES)?;
    let extending = measure(&*disk.open(name, Access::Create)?, u64::MAX)?;
    disk.remove(name)?;
    Ok((overwriting, extending))
}

async fn append(log: &Arc<SegmentedLog>, writers: usize, each: Duration) -> Result<Appends, Error> {
    let payload = Bytes::from(vec![0xA5; EVENT_BYTES - 52 - 46 - 16]);
    let (start, streams) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (log, payload, streams) = (Arc::clone(log), payload.clone(), Arc::clone(&streams));
            tokio::spawn(async move {
                let mut times = Vec::new();
                let kind: Arc<str> = "order.replied.v1".into();
                'streams: loop {
                    let n = streams.fetch_add(1, Ordering::Relaxed);
                    let id = Uuid::from_u128(u128::from(n) << 64 | writers as u128);
                    let stream = StreamName::new(format!("complaint-{id}"))?;
                    // A ticket has about a dozen events.
                    for revision in 0..12_u64 {
                        if start.elapsed() >= each {
                            break 'streams;
                        }
                        let event = NewEvent {
                            id: Uuid::from_u128(
                                (u128::from(n) << 64) + (writer as u128) * 16 + u128::from(revision),
                            ),
                            kind: Arc::clone(&kind),
                            occurred_at: 0,
                            recorded_at: 0,
                            tags: Vec::new(),
                            metadata: Bytes::new(),
                            payload: payload.clone(),
                        };
                        let begun = Instant::now();
                        log.append(&stream, Expected::after(revision.checked_sub(1)), vec![event]).await?;
                        times.push(begun.elapsed());
                    }
                }
                Ok::<_, Error>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.map_err(|e| Error::io("measure")(std::io::Error::other(e)))??);
    }
    let elapsed = start.elapsed();
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).map_or(0.0, |t| t.as_secs_f64() * 1e6);
    Ok(Appends { writers, per_second: rate(times.len() as u64, elapsed), p50_us: at(50), p99_us: at(99) })
}
