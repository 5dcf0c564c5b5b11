//! Which fax of a vendor is a job's.

use faxbot_core::{Private, fax::JobStatus, id::JobId};

use serde_json::Value;

use super::{FaxReport, verdict::settled};
use crate::cloud::lenient;

/// Digits at the end of a number that no form of it changes: what vendors rewrite are country codes and
/// trunk prefixes (`+52 1`, `+44 0`, `00` for `+`), which stand before them.
const SUFFIX: usize = 7;

/// The fax of a job among those of a list, for [`FaxProvider::find`](super::FaxProvider::find): it has
/// our label, and its number, where both are told, is not certainly another one. Job ids that a
/// caller chose may be used by two systems of one account.
///
/// Of several (somebody had the vendor send it again) it is the one that says most of what became of
/// the job: one that arrived, else one that is under way, else one of which nobody can say; of like
/// ones the last of the list, which is the oldest where lists are newest first.
pub fn fax_of_job(
    reports: impl IntoIterator<Item = FaxReport>,
    job: &JobId,
    to: Option<&Private>,
) -> Option<FaxReport> {
    reports
        .into_iter()
        .filter(|report| report.job_id.as_ref() == Some(job))
        .filter(|report| match (&report.to, to) {
            (Some(told), Some(ours)) => may_be_same_number(told.expose(), ours.expose()),
            _ => true,
        })
        .max_by_key(|report| match settled(report) {
            Some((JobStatus::Success, _)) => 3,
            None => 2,
            Some((JobStatus::OutcomeUnknown, _)) => 1,
            Some(_) => 0,
        })
}

/// Whether what a list tells of a fax has our label for this job: in its field `map`, under `label`. Only
/// then the rest is worth reading, for lists have a thousand faxes, and then it has to be readable: what
/// is ours must not pass for what is not there.
pub fn is_labelled(raw: &Value, map: &str, label: &str, job: &JobId) -> bool {
    let told = raw.get(map).and_then(|labels| labels.get(label));
    told.and_then(lenient::text_of)
        .is_some_and(|told| told == job.as_str())
}

/// Whether two numbers may be one in two forms. Only what certainly differs is another number: a fax
/// of ours that is taken for a stranger's would be sent twice.
pub(super) fn may_be_same_number(one: &str, other: &str) -> bool {
    let end = |text: &str| {
        let digits = text.bytes().rev().filter(u8::is_ascii_digit);
        digits.take(SUFFIX).collect::<Vec<_>>()
    };
    let (one, other) = (end(one), end(other));
    one.len() < SUFFIX || other.len() < SUFFIX || one == other
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_label_is_read_whatever_type_it_has() {
        let job: JobId = "7".parse().unwrap();
        for (raw, labelled) in [
            (json!({"tags": {"job": "7"}}), true),
            (json!({"tags": {"job": 7}}), true),
            (json!({"tags": {"job": "8"}}), false),
            (json!({"tags": {"job": null}}), false),
            (json!({"tags": []}), false),
            (json!({"labels": {"job": "7"}}), false),
            (json!("7"), false),
        ] {
            assert_eq!(is_labelled(&raw, "tags", "job", &job), labelled, "{raw}");
        }
    }

    #[test]
    fn a_number_is_another_one_only_where_no_form_of_it_could_be_ours() {
        for (one, other, may) in [
            ("+15558675309", "+15558675309", true),
            ("+15558675309", "15558675309", true),
            ("+15558675309", "0015558675309", true),
            ("+15558675309", "(555) 867-5309", true),
            ("+5215512345678", "+525512345678", true),
            ("+4402071838750", "+442071838750", true),
            ("+15558675309", "+15558675308", false),
            ("+15558675309", "+15557675309", false),
            // Masked, or cut: nobody can tell.
            ("+15558675309", "***5309", true),
            ("+15558675309", "", true),
        ] {
            assert_eq!(may_be_same_number(one, other), may, "{one} {other}");
            assert_eq!(may_be_same_number(other, one), may, "{one} {other}");
        }
    }

    #[test]
    fn of_faxes_with_our_label_the_one_that_says_most_is_the_jobs() {
        let job: JobId = "job-1".parse().unwrap();
        let fax = |sid: &str, label: &str, to: &str, word: &str| {
            let mut report = FaxReport::new(sid, JobStatus::parse(word), word);
            report.job_id = Some(label.parse().unwrap());
            report.to = (!to.is_empty()).then(|| Private::new(to.to_owned()));
            report
        };
        let (ours, other) = ("+15558675309", "+15550000000");
        for (list, found) in [
            (vec![], None),
            (vec![fax("1", "job-2", ours, "SUCCESS")], None),
            (vec![fax("1", "job-1", other, "SUCCESS")], None),
            (vec![fax("1", "job-1", "", "FAILED")], Some("1")),
            (
                vec![
                    fax("3", "job-1", ours, "FAILED"),
                    fax("2", "job-1", ours, "SUCCESS"),
                    fax("1", "job-1", ours, "queued"),
                ],
                Some("2"),
            ),
            (
                vec![
                    fax("3", "job-1", other, "SUCCESS"),
                    fax("2", "job-1", ours, "in_progress"),
                    fax("1", "job-1", ours, "Odd.Word"),
                    fax("0", "job-1", ours, "outcome_unknown"),
                ],
                Some("1"),
            ),
            (
                vec![
                    fax("2", "job-1", ours, "outcome_unknown"),
                    fax("1", "job-1", ours, "cancelled"),
                ],
                Some("2"),
            ),
        ] {
            let to = Private::new(ours.to_owned());
            let of_job = fax_of_job(list, &job, Some(&to)).map(|report| report.sid);
            assert_eq!(of_job.as_deref(), found);
        }
        let stranger = fax("1", "job-1", other, "SUCCESS");
        assert!(fax_of_job([stranger], &job, None).is_some());
    }
}
