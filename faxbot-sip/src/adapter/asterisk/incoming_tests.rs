use super::*;

#[test]
fn placeholder() {
    assert_eq!(decoded("a%3A%20b%zz%4"), "a: b%zz%4");
}
