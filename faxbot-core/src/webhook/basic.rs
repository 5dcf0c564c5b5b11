//! User and password in the URL that a vendor was given: it sends them with each request (RFC 7617).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::header::AUTHORIZATION;
use url::Url;

use super::{WebhookRequest, signature::equal};
use crate::config::percent_decoded;

impl WebhookRequest {
    /// Whether it carries the user and the password of this URL, the one that the vendor was given.
    /// Takes the same time wherever a wrong one differs.
    ///
    /// False as well for a URL without a password, and for a header that is missing or given twice.
    pub fn has_basic_auth_of(&self, url: &Url) -> bool {
        let Some(password) = url.password().filter(|password| !password.is_empty()) else {
            return false;
        };
        let (Some(user), Some(password)) =
            (percent_decoded(url.username()), percent_decoded(password))
        else {
            return false;
        };
        let given = self.header(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, credentials) = value.split_once(' ')?;
            let basic = scheme.eq_ignore_ascii_case("basic");
            basic.then(|| STANDARD.decode(credentials.trim()).ok())?
        });
        given.is_some_and(|given| equal(&given, format!("{user}:{password}").as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method};

    use super::*;

    fn request(values: &[&str]) -> WebhookRequest {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        WebhookRequest::new(Method::POST, "/").with_headers(headers)
    }

    #[test]
    fn only_the_user_and_the_password_of_the_url_are_right() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let url = "https://fax%40vendor:p%3Ass%20w%C3%B6rd@example.org/hook";
        let right = basic("fax@vendor:p:ss wörd");
        for (url, values, passes) in [
            (url, vec![right.as_str()], true),
            (url, vec![&right.replace("Basic", "bAsIc")], true),
            (url, vec![&right, &right], false),
            (url, vec![&basic("fax@vendor:p:ss")], false),
            (url, vec![&basic("fax@vendor:p:ss wörd ")], false),
            (url, vec![&basic("other:p:ss wörd")], false),
            (url, vec!["Basic"], false),
            (url, vec!["Basic ???"], false),
            (url, vec![&right.replace("Basic", "Bearer")], false),
            (url, vec![""], false),
            (url, vec![], false),
            // Nothing to compare with is nothing that is proved.
            ("https://example.org/hook", vec![&basic(":")], false),
            (
                "https://user@example.org/hook",
                vec![&basic("user:")],
                false,
            ),
            (
                "https://user:@example.org/hook",
                vec![&basic("user:")],
                false,
            ),
            ("https://:p@example.org/hook", vec![&basic(":p")], true),
        ] {
            let found = request(&values).has_basic_auth_of(&url.parse().unwrap());
            assert_eq!(found, passes, "{url} {values:?}");
        }
    }
}
