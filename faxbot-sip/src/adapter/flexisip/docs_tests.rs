//! The page of the documentation has what the code has.

use super::FIELDS;
use crate::adapter::docs_tests::{nothing_of, page};

#[test]
fn the_table_of_fields_is_that_of_the_code() {
    nothing_of([page!("docs/adapters/flexisip.md").lacks("fields", &FIELDS.markdown())]);
}
