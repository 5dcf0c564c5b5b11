//! The vendor's signature: hex HMAC-SHA1 over the URL that it was given, the fields sorted by name,
//! each name with its value, and the files sorted by the name of their part, each with the hex SHA-1
//! of its bytes (phaxio-ruby@c1cb8e4, `lib/phaxio/resources/webhook.rb`).
//!
//! Written apart from what the SDK verifies it with, so that one does not excuse the other.

use sha1::{Digest as _, Sha1};

/// Bytes of a block of SHA-1 (RFC 3174).
const BLOCK: usize = 64;

/// Signs one callback as Phaxio does: the value of `X-Phaxio-Signature`. Fields and files are names with
/// what they hold.
pub fn signature(
    token: &str,
    url: &str,
    fields: &[(String, String)],
    files: &[(&str, &[u8])],
) -> String {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|(name, _)| *name);
    let mut message = url.to_owned();
    for (name, value) in fields {
        message += name;
        message += value;
    }
    for (name, bytes) in files {
        message += name;
        message += &hex(&Sha1::digest(bytes));
    }
    hex(&hmac(token.as_bytes(), message.as_bytes()))
}

/// RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > BLOCK {
        Sha1::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    block.resize(BLOCK, 0);
    let pad = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let inner = Sha1::digest([pad(0x36).as_slice(), message].concat());
    Sha1::digest([pad(0x5c).as_slice(), &inner].concat()).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_vector_that_the_vendor_published_is_met() {
        // phaxio-ruby@c1cb8e4 spec/resources/webhook_spec.rb and spec/support/vcr.rb.
        let signature = signature(
            "test-webhook-token",
            "example.com",
            &own(&[("test", "true")]),
            &[],
        );
        assert_eq!(signature, "64a735ef0c47a0ae671e381c046648f0966deb29");
    }

    #[test]
    fn files_follow_the_fields_and_both_are_sorted() {
        // Signed by the vendor's code: phaxio-ruby@c1cb8e4 lib/phaxio/resources/webhook.rb, run on
        // fields and files of ours.
        let signature = signature(
            "test-webhook-token",
            "https://example.com/phaxio/hook",
            &own(&[("direction", "received"), ("fax", "{\"id\":1}")]),
            &[("file", b"AAA"), ("attachment", b"BBB")],
        );
        assert_eq!(signature, "b005af2340ab34e16cebae99e1e0613923088f78");
    }

    #[test]
    fn a_key_of_any_length_is_one() {
        // RFC 2202, test cases 2 and 6.
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert_eq!(
            hex(&hmac(
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            )),
            "aa4ae5e15272d00e95705637ce8a3b55ed402112"
        );
    }
}
