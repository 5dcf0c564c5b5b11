//! The page of this adapter has what the code has.

use super::FIELDS;
use crate::adapter::docs_tests::{nothing_of, page};

#[test]
fn the_table_of_fields_is_that_of_the_code() {
    let page = page!("docs/adapters/kamailio.md");
    nothing_of([page.lacks("fields", &FIELDS.markdown())]);
}
