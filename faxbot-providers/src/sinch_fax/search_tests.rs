use std::sync::Arc;

use async_trait::async_trait;
use faxbot_core::{
    clock::TokioClock,
    fax::JobStatus,
    http::{HttpClient, HttpRequest, HttpResponse},
    random::SeededRandom,
};
use http::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::cloud::{FaxProvider, ProviderContext};

/// A project with faxes, newest first, and a filter over the numbers as it tells them.
#[derive(Debug, Default)]
struct Project {
    faxes: Mutex<Vec<Value>>,
    /// How it writes numbers.
    form: Option<fn(&str) -> String>,
    /// Its filter finds nothing, as one that reads a plus as a space.
    filter_is_broken: bool,
    filter_is_refused: bool,
    /// The number and the page that each list was asked for.
    asked: Mutex<Vec<(Option<String>, usize)>>,
}

impl Project {
    fn add(&self, id: &str, to: &str, label: &str) {
        let to = self.form.map_or(to.to_owned(), |form| form(to));
        let fax = json!({"id": id, "direction": "OUTBOUND", "status": "IN_PROGRESS", "to": to,
            "labels": {"faxbot_job": label}});
        self.faxes.lock().unwrap().insert(0, fax);
    }

    fn asked(&self) -> Vec<(Option<String>, usize)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

#[async_trait]
impl HttpClient for Project {
    async fn execute(&self, request: HttpRequest) -> Result<HttpResponse> {
        let parameter = |name: &str| {
            let mut pairs = request.url.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let page: usize = parameter("page").unwrap().parse().unwrap();
        let start = parameter("to");
        self.asked.lock().unwrap().push((start.clone(), page));
        if start.is_some() && self.filter_is_refused {
            return Ok(HttpResponse::new(StatusCode::BAD_REQUEST, ""));
        }
        let faxes = self.faxes.lock().unwrap();
        let fits = |fax: &&Value| match &start {
            None => true,
            Some(start) => !self.filter_is_broken && fax["to"].as_str().unwrap().starts_with(start),
        };
        let all: Vec<_> = faxes.iter().filter(fits).collect();
        let shown: Vec<_> = all.iter().skip((page - 1) * MOST).take(MOST).collect();
        let body = json!({"faxes": shown, "page": page, "totalPages": all.len().div_ceil(MOST)});
        Ok(HttpResponse::new(StatusCode::OK, body.to_string()))
    }
}

fn sinch(project: &Arc<Project>) -> SinchFax {
    sinch_with(project, "json")
}

fn sinch_with(project: &Arc<Project>, body: &str) -> SinchFax {
    let config = json!({
        "project_id": "p-1", "key_id": "key-1", "key_secret": "secret-1", "auth_method": "basic",
        "body": body,
        "requests_per_second": 1000, "request_burst": 1000,
    });
    let http = Arc::clone(project) as Arc<dyn HttpClient>;
    let context = ProviderContext::new(http, TokioClock::shared(), SeededRandom::shared(7));
    SinchFax::build(&config, context).unwrap()
}

async fn find(sinch: &SinchFax, label: &str, to: &str) -> Result<Option<String>> {
    let since = "2026-11-21T08:00:00Z".parse().unwrap();
    let (job, to) = (label.parse().unwrap(), Private::new(to.to_owned()));
    let found = sinch.find(&job, Some(&to), since).await?;
    Ok(found.map(|report| report.sid))
}

fn number(n: u32) -> String {
    format!("+12025{n:06}")
}

fn narrowed(to: &str) -> (Option<String>, usize) {
    (Some(to.to_owned()), 1)
}

#[tokio::test(start_paused = true)]
async fn one_page_is_read_of_thousands_once_the_filter_was_seen_to_work() {
    let project = Arc::new(Project::default());
    for n in 0..2500 {
        project.add(&format!("{n}"), &number(n), &format!("job-{n}"));
    }
    let sinch = sinch(&project);
    // Nothing is known: the list is read whole, and the filter tried with a number of it.
    let (new, other) = (number(9000), number(9001));
    assert_eq!(find(&sinch, "job-9000", &new).await.unwrap(), None);
    let asked = project.asked();
    let lists = [
        narrowed(&new),
        (None, 1),
        (None, 2),
        (None, 3),
        narrowed(&number(2499)),
    ];
    assert_eq!(asked, lists);
    // From then on it is one page, for what is there and for what is not.
    assert_eq!(find(&sinch, "job-9001", &other).await.unwrap(), None);
    assert_eq!(project.asked(), [narrowed(&other)]);
    let old = number(3);
    assert_eq!(
        find(&sinch, "job-3", &old).await.unwrap().as_deref(),
        Some("3")
    );
    assert_eq!(project.asked(), [narrowed(&old)]);
    // Our label alone is not enough, and a number that begins as ours is not ours.
    project.add("x", &format!("{old}99"), "job-5000");
    assert_eq!(find(&sinch, "job-5000", &old).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_fax_whose_number_is_told_in_another_form_is_not_hidden() {
    let digits = |number: &str| number.replace('+', "");
    let rewritten = |number: &str| number.replace("+521", "+52").replace("+440", "+44");
    for (form, to) in [
        (digits as fn(&str) -> String, "+12025550123"),
        (rewritten, "+5215512345678"),
        (rewritten, "+4402071838750"),
        (|_| "(202) 555-0123".to_owned(), "+12025550123"),
        (|_| "***".to_owned(), "+12025550123"),
    ] {
        let project = Arc::new(Project {
            form: Some(form),
            ..Project::default()
        });
        project.add("7", to, "job-7");
        for n in 0..1500 {
            project.add(&format!("f{n}"), &number(n), "job-1");
        }
        // Of the same country, with a form that is told as it was given.
        project.add("mx", "+525587654321", "job-2");
        project.add("uk", "+442071838751", "job-3");
        let sinch = sinch(&project);
        for other in ["+12025000003", "+525587654321", "+442071838751", to] {
            find(&sinch, "job-8", other).await.unwrap();
        }
        let found = find(&sinch, "job-7", to).await.unwrap();
        assert_eq!(found.as_deref(), Some("7"), "{to}");
        assert_eq!(find(&sinch, "job-8", to).await.unwrap(), None, "{to}");
        let read = project.asked();
        assert_eq!(read.last(), Some(&(None, 2)), "{to}: {read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_broken_or_refused_hides_nothing() {
    for refused in [false, true] {
        let project = Arc::new(Project {
            filter_is_broken: true,
            filter_is_refused: refused,
            ..Project::default()
        });
        for n in 0..3 {
            project.add(&format!("{n}"), &number(n), &format!("job-{n}"));
        }
        let sinch = sinch(&project);
        for _ in 0..2 {
            let found = find(&sinch, "job-1", &number(1)).await.unwrap();
            assert_eq!(found.as_deref(), Some("1"), "{refused}");
            let none = find(&sinch, "job-9", &number(1)).await.unwrap();
            assert_eq!(none, None, "{refused}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_submission_tells_the_form_of_a_number() {
    let project = Arc::new(Project::default());
    project.add("1", "+12025550123", "job-1");
    let sinch = sinch(&project);
    find(&sinch, "job-2", "+12025550123").await.unwrap();
    project.asked();
    // The first fax to this area.
    let (to, full) = ("+17035550123", [narrowed("+17035550123"), (None, 1)]);
    find(&sinch, "job-3", to).await.unwrap();
    assert_eq!(project.asked(), full);
    sinch.numbers.saw("+17035550199");
    find(&sinch, "job-3", to).await.unwrap();
    assert_eq!(project.asked(), full[..1]);
    // Neither is another length, nor another number behind the country code.
    for to in ["+170355501230", "+17045550123"] {
        find(&sinch, "job-3", to).await.unwrap();
        assert_eq!(project.asked().len(), 2, "{to}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_fax_that_arrived_counts_before_one_that_somebody_had_sent_again() {
    let project = Arc::new(Project::default());
    for (id, status) in [("1", "COMPLETED"), ("2", "FAILURE"), ("3", "FAILURE")] {
        project.add(id, "+12025550123", "job-1");
        project.faxes.lock().unwrap()[0]["status"] = json!(status);
    }
    let sinch = sinch(&project);
    let since = "2026-11-21T08:00:00Z".parse().unwrap();
    let found = sinch.find(&"job-1".parse().unwrap(), None, since).await;
    let found = found.unwrap().unwrap();
    assert_eq!(
        (found.sid.as_str(), found.status),
        ("1", JobStatus::Success)
    );
    assert_eq!(found.to, Some(Private::new("+12025550123".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn without_our_label_a_fax_that_went_as_a_form_may_be_any_of_them() {
    let project = Arc::new(Project::default());
    let sinch = sinch_with(&project, "multipart");
    let to = "+12025550123";
    // No fax at all.
    assert_eq!(find(&sinch, "job-1", to).await.unwrap(), None);
    project.add("1", to, "job-1");
    project.faxes.lock().unwrap()[0]["labels"] = json!({});
    for _ in 0..2 {
        assert!(find(&sinch, "job-1", to).await.is_err());
    }
    // In JSON labels have a form that is known.
    let json = sinch_with(&project, "json");
    assert_eq!(find(&json, "job-1", to).await.unwrap(), None);
    project.add("2", to, "job-2");
    assert_eq!(find(&sinch, "job-1", to).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn our_fax_in_a_form_that_cannot_be_read_does_not_pass_for_none() {
    let project = Arc::new(Project::default());
    project.add("1", "+12025550123", "job-1");
    project.add("2", "+12025550124", "job-2");
    for id in [json!(null), json!("../1"), json!({"id": 1})] {
        project.faxes.lock().unwrap()[1]["id"] = id;
        let sinch = sinch(&project);
        assert!(find(&sinch, "job-1", "+12025550123").await.is_err());
        // Somebody else's keeps nobody from sending.
        assert!(
            find(&sinch, "job-3", "+12025550125")
                .await
                .unwrap()
                .is_none()
        );
    }
}
