use std::sync::Arc;

use faxbot_core::{
    clock::TokioClock,
    http::{HttpClient, HttpResponse},
    random::SeededRandom,
};
use serde_json::json;

use super::*;

/// Gives one answer to everything.
#[derive(Debug)]
struct Canned(Value);

#[async_trait]
impl HttpClient for Canned {
    async fn execute(&self, _: HttpRequest) -> Result<HttpResponse> {
        Ok(HttpResponse::new(StatusCode::OK, self.0.to_string()))
    }
}

fn sinch(answer: Value) -> SinchSms {
    let context = ProviderContext::new(
        Arc::new(Canned(answer)),
        TokioClock::shared(),
        SeededRandom::shared(1),
    );
    let config = json!({"service_plan_id": "p", "api_token": "t", "from_number": "+15550100001"});
    SinchSms::build(&config, context).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_report_of_another_batch_is_no_answer() {
    let answer = json!({"type": "delivery_report_sms", "batch_id": "B1",
        "statuses": [{"code": 0, "status": "Delivered", "count": 1}]});
    let sinch = sinch(answer);
    assert_eq!(sinch.status("B1").await.unwrap().id, "B1");
    let error = sinch.status("B2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_tells_no_count_goes_on_behind_a_full_page() {
    let message =
        |id: &str| json!({"type": "mo_text", "id": id, "from": "1", "to": "2", "body": "x"});
    let list = json!({"inbounds": [message("a"), message("b")]});
    let sinch = sinch(list);
    for (limit, more) in [(2, Some("1")), (3, None)] {
        let query = InboundQuery::new().with_limit(limit);
        let page = sinch
            .list_inbound(Timestamp::UNIX_EPOCH, &query)
            .await
            .unwrap();
        assert_eq!((page.items.len(), page.next_cursor.as_deref()), (2, more));
    }
}
