//! A fax that goes on behind its confirmed pages.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use faxbot_core::{
    DocumentReason, Error, ErrorKind,
    document::{Document, FaxImage, Resolution},
    fax::{Alternative, FailureClass, FaxRequest, FaxRetryPolicy, JobStatus},
    id::{CallId, CallRef, JobId},
    plugin::{FaxPlugin, Plugin, PluginDeps, PluginEvent, SendOptions},
    sip::{Capability, Lookup, SipAdapter},
};
use faxbot_providers::sip_fax::SipFaxPlugin;
use faxbot_testkit::fake::FaxScript;
use serde_json::{Value, json};

use super::{Bench, NUMBER, PAGES, again, pause, tiff};

fn broken(pages: u32) -> FaxScript {
    FaxScript::fails_after(pages, FailureClass::CommError)
}

/// Numbers of the pages of a request, from 0.
fn numbers(request: &FaxRequest) -> Vec<u16> {
    let mut reader = request.image.reader().unwrap();
    let pages = reader.pages().map(|page| page.unwrap());
    let first = request.first_page as usize - 1;
    let numbers = pages.map(|page| page.page_number.unwrap().number);
    numbers.skip(first).collect()
}

/// The server begins at any page of a file from now on.
fn begins_later(bench: &Bench) {
    let can = bench.adapter.capabilities();
    let can = can.with(Capability::FaxFirstPage);
    bench.adapter.set_capabilities(can);
}

fn sent(bench: &Bench) -> Vec<Vec<u16>> {
    bench.adapter.requests().iter().map(numbers).collect()
}

/// Each page that the far end confirmed, over all calls.
async fn delivered(bench: &Bench, job: &JobId) -> Vec<u16> {
    let mut pages = Vec::new();
    let requests = bench.adapter.requests();
    for number in 1.. {
        let id = CallId::for_attempt(job, number);
        let Lookup::Ended(record) = bench.adapter.lookup(&CallRef::from(id)).await.unwrap() else {
            return pages;
        };
        let request = requests.iter().rfind(|request| request.id == id).unwrap();
        let confirmed = record.fax.unwrap().pages_confirmed.unwrap();
        pages.extend(numbers(request).into_iter().take(confirmed as usize));
    }
    pages
}

#[tokio::test(start_paused = true)]
async fn the_next_call_sends_the_pages_that_are_left_with_their_numbers() {
    let rows = [
        (vec![broken(1)], vec![vec![0, 1, 2], vec![1, 2]]),
        (vec![broken(2)], vec![vec![0, 1, 2], vec![2]]),
        (
            vec![broken(1), broken(1)],
            vec![vec![0, 1, 2], vec![1, 2], vec![2]],
        ),
        (
            vec![broken(1), FaxScript::busy(), FaxScript::busy()],
            vec![vec![0, 1, 2], vec![1, 2], vec![1, 2], vec![1, 2]],
        ),
        (vec![broken(1), broken(2)], vec![vec![0, 1, 2], vec![1, 2]]),
        (vec![broken(3)], vec![vec![0, 1, 2]]),
    ];
    for (scripts, pages) in rows {
        let bench = Bench::new().await;
        let status = bench.play(scripts).await;
        assert_eq!((status.status, status.error), (JobStatus::Success, None));
        assert_eq!(status.pages, Some(PAGES));
        let outcome = status.detail.outcome.unwrap();
        assert_eq!(outcome.pages_total, Some(PAGES));
        assert_eq!(sent(&bench), pages);
        let first: Vec<_> = status
            .detail
            .attempts
            .iter()
            .map(|a| a.first_page)
            .collect();
        let expected: Vec<_> = pages.iter().map(|call| u32::from(call[0]) + 1).collect();
        assert_eq!(first, expected);
        pause(100_000).await;
        assert_eq!(bench.dials(), pages.len());
        // The ladder goes on as it does for a whole fax.
        if let Some(second) = bench.adapter.requests().get(1) {
            assert_eq!(second.max_rate, Some(9600));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_host_sees_the_pages_of_the_whole_document() {
    let mut bench = Bench::new().await;
    bench.adapter.script(broken(1));
    let job = bench.send(SendOptions::new()).await.unwrap();
    let waiting = bench.until(&job, |s| s.detail.next_dial.is_some() && s.pages.is_some());
    assert_eq!(waiting.await.pages, Some(1));
    let second = bench.until(&job, |s| {
        s.status == JobStatus::InProgress && s.detail.attempts.len() == 2
    });
    assert_eq!(second.await.pages, Some(1));
    bench.end(&job).await;
    let (mut seen, mut ended) = (Vec::new(), Vec::new());
    while let Some(event) = bench.events.try_recv() {
        match event.unwrap().event {
            PluginEvent::FaxProgress { progress, .. } => {
                assert_eq!(progress.pages_total, PAGES);
                assert!(progress.page.is_none_or(|page| page <= PAGES));
                seen.extend(progress.pages_confirmed);
            }
            PluginEvent::FaxFinished { outcome, .. } => {
                ended.push((outcome.pages_confirmed, outcome.pages_total));
            }
            _ => {}
        }
    }
    assert!(seen.is_sorted(), "{seen:?}");
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&2)));
    assert_eq!(ended, [(Some(1), Some(3)), (Some(3), Some(3))]);
}

#[tokio::test(start_paused = true)]
async fn the_server_draws_the_line_above_a_whole_fax_and_the_converter_above_a_rest() {
    let config = json!({"options": {"jitter": 0, "header": "Clinic", "station_id": "+1 555"}});
    let bench = Bench::with(config).await;
    let status = bench.play([broken(1), FaxScript::busy()]).await;
    assert_eq!(status.status, JobStatus::Success);
    let requests = bench.adapter.requests();
    let headers: Vec<_> = requests
        .iter()
        .map(|request| request.header.as_ref().map(|text| text.expose().to_owned()))
        .collect();
    assert_eq!(headers, [Some("Clinic".to_owned()), None, None]);
    assert!(requests.iter().all(|request| request.station_id.is_some()));
    let cuts = bench.converter.cuts.lock().unwrap().clone();
    assert_eq!(cuts.len(), 2);
    for (pages, header) in &cuts {
        let header = header.as_ref().unwrap();
        assert_eq!(*pages, 1..3);
        assert_eq!((header.first_page, header.total), (2, 3));
        assert_eq!(header.from, "Clinic  +1 555");
        assert_eq!(header.to, NUMBER);
    }
    // Each has the time of its call.
    let at = |n: usize| cuts[n].1.as_ref().unwrap().at;
    assert!(at(1) >= at(0) + Duration::from_secs(180));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_can_begins_at_the_page_and_draws_its_line() {
    // No line of ours is needed.
    for draws in [true, false] {
        let config = json!({"options": {"jitter": 0, "header": "Clinic"}});
        let bench = Bench::with(config).await;
        bench.converter.draws.store(draws, Ordering::Relaxed);
        begins_later(&bench);
        let status = bench.play([broken(1), FaxScript::busy(), broken(1)]).await;
        assert_eq!((status.status, status.error), (JobStatus::Success, None));
        assert_eq!(status.pages, Some(PAGES));
        assert_eq!(
            sent(&bench),
            [vec![0, 1, 2], vec![1, 2], vec![1, 2], vec![2]]
        );
        let requests = bench.adapter.requests();
        assert!(requests.iter().all(|request| request.header.is_some()));
        assert!(
            requests
                .iter()
                .all(|request| request.image.pages() == PAGES)
        );
        assert!(bench.converter.cuts.lock().unwrap().is_empty());
        let attempts = status.detail.attempts.iter();
        let first: Vec<_> = attempts.clone().map(|a| a.first_page).collect();
        assert_eq!(first, [1, 2, 2, 3]);
        let counts: Vec<_> = attempts
            .map(|a| a.outcome.as_ref().unwrap())
            .map(|outcome| (outcome.pages_confirmed, outcome.pages_total))
            .collect();
        let counted = |pages, total| (Some(pages), Some(total));
        assert_eq!(
            counts,
            [counted(1, 3), counted(0, 2), counted(1, 2), counted(1, 1)]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_file_of_the_caller_is_copied_before_a_server_begins_at_its_page() {
    let bench = Bench::new().await;
    begins_later(&bench);
    let plugin = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
    let config = json!({"options": {"jitter": 0, "header": "Clinic"}});
    plugin
        .start(config, PluginDeps::current().unwrap())
        .await
        .unwrap();
    bench.adapter.script(broken(1));
    let to = NUMBER.parse().unwrap();
    let document = Document::path(bench.path());
    let sending = plugin.send_fax(to, document, SendOptions::new()).await;
    let job = sending.unwrap().job_id;
    pause(600).await;
    let status = plugin.get_status(&job).await.unwrap();
    assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
    assert_eq!(sent(&bench), [vec![0, 1, 2], vec![1, 2]]);
    let requests = bench.adapter.requests();
    assert_eq!(requests[0].image.path(), bench.path());
    assert_ne!(requests[1].image.path(), bench.path());
    assert!(requests.iter().all(|request| request.header.is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_would_lack_its_line_is_not_sent() {
    let config = json!({"options": {"jitter": 0, "header": "Clinic"}});
    let bench = Bench::with(config).await;
    bench.converter.draws.store(false, Ordering::Relaxed);
    let status = bench.play([broken(1)]).await;
    assert_eq!(status.status, JobStatus::Failed);
    assert_eq!(status.pages, Some(1));
    assert_eq!(
        status.error.as_deref(),
        Some("communication error after 1 of 3 pages")
    );
    pause(100_000).await;
    assert_eq!(bench.dials(), 1);
    // One that broke off before a page is dialled again as a whole.
    let status = bench.play([broken(0)]).await;
    assert_eq!((status.status, bench.dials()), (JobStatus::Success, 3));
    let requests = bench.adapter.requests();
    assert!(requests.iter().all(|request| request.header.is_some()));
    // Without a header there is no line to lack.
    let bench = Bench::new().await;
    bench.converter.draws.store(false, Ordering::Relaxed);
    assert_eq!(bench.play([broken(1)]).await.status, JobStatus::Success);
    assert!(bench.converter.cuts.lock().unwrap()[0].1.is_none());
}

#[tokio::test(start_paused = true)]
async fn without_a_converter_a_fax_tiff_is_cut_as_it_is() {
    for (header, word, calls) in [("", "SUCCESS", 2), ("Clinic", "FAILED", 1)] {
        let bench = Bench::new().await;
        let plugin = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
        let deps = PluginDeps::current().unwrap();
        let config = json!({"options": {"jitter": 0, "header": header}});
        plugin.start(config, deps).await.unwrap();
        bench.adapter.script(broken(1));
        let document = Document::path(bench.path());
        let to = NUMBER.parse().unwrap();
        let job = plugin.send_fax(to, document, SendOptions::new()).await;
        let job = job.unwrap().job_id;
        pause(600).await;
        let status = plugin.get_status(&job).await.unwrap();
        assert_eq!((status.status.as_str(), bench.dials()), (word, calls));
        if calls == 2 {
            assert_eq!(sent(&bench), [vec![0, 1, 2], vec![1, 2]]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_that_cannot_be_cut_are_not_dialled() {
    let error = |kind| Error::new(kind, "copy_pages", "no");
    let changed = Error::document("copy_pages", DocumentReason::Damaged, "changed");
    let rows = [
        // It passes, and it does not.
        (vec![error(ErrorKind::Overloaded); 3], "SUCCESS", 4),
        (vec![error(ErrorKind::Io)], "SUCCESS", 2),
        (vec![error(ErrorKind::Unsupported)], "FAILED", 1),
        (vec![changed], "FAILED", 1),
    ];
    for (errors, word, cuts) in rows {
        let bench = Bench::new().await;
        *bench.converter.cut_error.lock().unwrap() = errors;
        let status = bench.play([broken(1)]).await;
        assert_eq!(status.status.as_str(), word, "{:?}", status.error);
        assert_eq!(bench.converter.cuts.lock().unwrap().len(), cuts);
        let (pages, dials) = if word == "FAILED" { (1, 1) } else { (3, 2) };
        assert_eq!((status.pages, bench.dials()), (Some(pages), dials));
        assert_eq!(status.error.is_some(), word == "FAILED");
    }
}

#[tokio::test(start_paused = true)]
async fn a_converter_that_cuts_other_pages_is_not_believed() {
    for wrong in [0..3, 0..1] {
        let bench = Bench::new().await;
        *bench.converter.wrong_cut.lock().unwrap() = Some(wrong);
        let status = bench.play([broken(1)]).await;
        assert_eq!((status.status, status.pages), (JobStatus::Failed, Some(1)));
        assert_eq!(bench.dials(), 1);
    }
}

fn image(bench: &Bench, pages: u32) -> FaxImage {
    let path = bench.directory.path().join(format!("{pages}.tif"));
    std::fs::write(&path, tiff(pages)).unwrap();
    FaxImage::open(path).unwrap()
}

#[tokio::test(start_paused = true)]
async fn another_rendering_is_sent_only_when_its_pages_are_the_same() {
    let slowest = FaxRetryPolicy::new().with_alternatives(vec![Alternative::Slowest]);
    for (pages, confirmed, word, calls) in [
        (3, 1, "SUCCESS", vec![vec![0, 1, 2], vec![1, 2]]),
        (4, 1, "FAILED", vec![vec![0, 1, 2]]),
        (1, 1, "FAILED", vec![vec![0, 1, 2]]),
        // Nothing arrived so far: it is another fax.
        (4, 0, "SUCCESS", vec![vec![0, 1, 2], vec![0, 1, 2, 3]]),
    ] {
        let bench = Bench::new().await;
        *bench.converter.scaled.lock().unwrap() = Some(image(&bench, pages));
        bench.adapter.script(broken(confirmed));
        let options = SendOptions::new().with_retry(slowest.clone());
        let job = bench.send(options).await.unwrap();
        let status = bench.end(&job).await;
        assert_eq!((status.status.as_str(), sent(&bench)), (word, calls));
        let asked = bench.converter.asked.lock().unwrap().clone();
        assert_eq!(asked, [Resolution::Fine, Resolution::Standard]);
        if word == "FAILED" {
            assert_eq!(status.pages, Some(1));
            assert!(status.error.unwrap().contains("another number of pages"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changed_since_pages_of_it_arrived_is_not_sent_on() {
    let slowest = FaxRetryPolicy::new().with_alternatives(vec![Alternative::Slowest]);
    // With a converter that renders again, and without one, where the file itself is cut, or copied
    // for a server that begins at the page.
    for (converts, later) in [(true, false), (false, false), (false, true)] {
        for (confirmed, changes, word, calls) in [
            (1, false, "SUCCESS", 2),
            (1, true, "FAILED", 1),
            // Nothing arrived so far: it is another fax.
            (0, true, "SUCCESS", 2),
        ] {
            let bench = Bench::new().await;
            if later {
                begins_later(&bench);
            }
            let plugin = SipFaxPlugin::new(Arc::new(bench.adapter.clone()));
            let mut deps = PluginDeps::current().unwrap();
            if converts {
                deps = deps.with_documents(bench.converter.clone());
            }
            let config = json!({"options": {"jitter": 0}});
            plugin.start(config, deps).await.unwrap();
            bench.adapter.script(broken(confirmed));
            let path = bench.directory.path().join("again.tif");
            std::fs::write(&path, tiff(PAGES)).unwrap();
            let options = SendOptions::new().with_retry(slowest.clone());
            let to = NUMBER.parse().unwrap();
            let sent = plugin.send_fax(to, Document::path(&path), options).await;
            let job = sent.unwrap().job_id;
            while plugin
                .get_status(&job)
                .await
                .unwrap()
                .detail
                .next_dial
                .is_none()
                || bench.dials() == 0
            {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            if changes {
                // As many pages, other ones.
                let mut other = tiff(PAGES);
                other.push(0);
                std::fs::write(&path, other).unwrap();
            }
            pause(600).await;
            let status = plugin.get_status(&job).await.unwrap();
            assert_eq!(
                (status.status.as_str(), bench.dials()),
                (word, calls),
                "{converts} {later} {confirmed} {changes}: {:?}",
                status.error
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_process_goes_on_behind_the_pages_of_the_one_before() {
    let part = |range: Range<u16>| range.collect::<Vec<_>>();
    // Killed between the calls, in the second one, behind the second one, which broke off too.
    let rows = [
        (vec![broken(1)], 60, vec![part(0..3), part(1..3)]),
        (vec![broken(1)], 110, vec![part(0..3), part(1..3)]),
        (
            vec![broken(1), broken(1)],
            140,
            vec![part(0..3), part(1..3), part(2..3)],
        ),
    ];
    for (scripts, seconds, calls) in rows {
        let (bench, job) = again::twice(scripts, seconds).await;
        let status = bench.end(&job).await;
        assert_eq!((status.status, status.pages), (JobStatus::Success, Some(3)));
        assert_eq!(sent(&bench), calls, "killed after {seconds} s");
        assert_eq!(delivered(&bench, &job).await, [0, 1, 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_a_cancellation_or_a_crash_at_any_moment_sends_no_page_twice() {
    let (mut whole, mut halves) = (0, 0);
    for (what, later) in [
        ("stop", false),
        ("cancel", false),
        ("crash", false),
        ("crash", true),
    ] {
        // Every 2.5 s, and every 0.5 s about the cut, which is behind 86 s.
        let moments = (0..70).map(|n| 5 * n).chain(168..180);
        for moment in moments {
            let mut bench = Bench::new().await;
            if later {
                begins_later(&bench);
            }
            bench.adapter.script(broken(1));
            let job = JobId::new();
            let options = SendOptions::with_job_id(job.clone());
            bench.send(options.clone()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500) * moment).await;
            match what {
                "stop" => {
                    bench.plugin.stop().await.unwrap();
                    pause(30).await;
                    let deps = PluginDeps::current().unwrap();
                    let deps = deps.with_documents(bench.converter.clone());
                    bench.plugin.start(Value::Null, deps).await.unwrap();
                }
                "cancel" => drop(bench.plugin.cancel_fax(&job).await.unwrap()),
                _ => {
                    again::crash(&mut bench).await;
                    bench.send(options).await.unwrap();
                }
            }
            let status = bench.until(&job, |s| s.status.is_final()).await;
            pause(10_000).await;
            assert_eq!(bench.adapter.running(), 0);
            let pages = delivered(&bench, &job).await;
            let expected: Vec<_> = (0..u16::try_from(pages.len()).unwrap()).collect();
            assert_eq!(pages, expected, "{what} at {moment}");
            let arrived = pages.len() == 3;
            assert_eq!(
                status.status == JobStatus::Success,
                arrived,
                "{what} at {moment}"
            );
            assert_eq!(status.pages.unwrap_or(0) as usize, pages.len());
            *(if arrived { &mut whole } else { &mut halves }) += 1;
        }
    }
    assert!(whole > 60 && halves > 20, "{whole} {halves}");
}
