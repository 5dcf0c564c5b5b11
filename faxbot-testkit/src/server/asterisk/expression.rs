//! `$[...]` and conditions, as far as our dialplan and its neighbours write them: `|`, `&`,
//! comparisons, `+`, `-`, `!` and brackets (`main/ast_expr2.y`).

/// The value of what stands between `$[` and `]`, its variables replaced already.
pub(super) fn evaluate(text: &str) -> String {
    let tokens = tokens(text);
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    parser.level(0)
}

/// Whether a condition holds: a number that is not 0, or any other text (`pbx_checkcondition` in
/// `main/pbx.c`).
pub(super) fn holds(text: &str) -> bool {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(number) => number != 0,
        Err(_) => !text.is_empty(),
    }
}

/// Deepest nesting of brackets.
const MAX_DEPTH: usize = 16;

/// Operators by rank, the weakest first.
const RANKS: [&[&str]; 4] = [
    &["|"],
    &["&"],
    &["=", "==", "!=", "<=", ">=", "<", ">"],
    &["+", "-"],
];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Operator(&'static str),
}

fn tokens(text: &str) -> Vec<Token> {
    const OPERATORS: [&str; 13] = [
        "==", "!=", "<=", ">=", "|", "&", "=", "<", ">", "(", ")", "+", "!",
    ];
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let (word, tail) = inner.split_once('"').unwrap_or((inner, ""));
            all.push(Token::Word(word.to_owned()));
            rest = tail;
        } else if let Some(operator) = OPERATORS.iter().find(|o| rest.starts_with(**o)) {
            all.push(Token::Operator(operator));
            rest = rest.get(operator.len()..).unwrap_or_default();
        } else if rest == "-" || rest.starts_with("- ") {
            all.push(Token::Operator("-"));
            rest = rest.get(1..).unwrap_or_default();
        } else {
            let end = rest
                .find(|c: char| c.is_whitespace() || "|&=<>()+!\"".contains(c))
                .unwrap_or(rest.len());
            let (word, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            all.push(Token::Word(word.to_owned()));
            rest = tail;
        }
        rest = rest.trim_start();
    }
    all
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn operator(&mut self, among: &[&str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Operator(operator)) if among.contains(operator) => {
                self.at += 1;
                Some(operator)
            }
            _ => None,
        }
    }

    fn level(&mut self, rank: usize) -> String {
        let Some(operators) = RANKS.get(rank) else {
            return self.word();
        };
        let mut left = self.level(rank + 1);
        while let Some(operator) = self.operator(operators) {
            let right = self.level(rank + 1);
            left = apply(operator, left, right);
        }
        left
    }

    fn word(&mut self) -> String {
        self.depth += 1;
        let value = if self.depth > MAX_DEPTH {
            String::new()
        } else if self.operator(&["!"]).is_some() {
            u8::from(!holds(&self.word())).to_string()
        } else if self.operator(&["("]).is_some() {
            let inner = self.level(0);
            self.operator(&[")"]);
            inner
        } else if let Some(Token::Word(word)) = self.tokens.get(self.at) {
            self.at += 1;
            word.clone()
        } else {
            String::new()
        };
        self.depth -= 1;
        value
    }
}

fn apply(operator: &str, left: String, right: String) -> String {
    let numbers = left.parse::<i64>().ok().zip(right.parse::<i64>().ok());
    let order = match numbers {
        Some((left, right)) => left.cmp(&right),
        None => left.cmp(&right),
    };
    let truth = match operator {
        // These give one of their sides, not 1.
        "|" if holds(&left) => return left,
        "|" if holds(&right) => return right,
        "&" if holds(&left) && holds(&right) => return left,
        "+" | "-" => {
            let (left, right) = numbers.unwrap_or_default();
            let sign = if operator == "+" { 1 } else { -1 };
            return left.saturating_add(sign * right).to_string();
        }
        "=" | "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        ">" => order.is_gt(),
        "<=" => order.is_le(),
        ">=" => order.is_ge(),
        _ => false,
    };
    u8::from(truth).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_of_numbers_where_both_are_and_of_text_else() {
        for (text, value) in [
            ("\"1\" = \"1\"", "1"),
            ("\"\" = \"1\"", "0"),
            ("\"1\" = \"1\" & \"BUSY\" != \"ANSWER\"", "1"),
            ("\"1\" = \"1\" & \"ANSWER\" != \"ANSWER\"", "0"),
            ("09 = 9", "1"),
            ("abc=abc", "1"),
            ("2 > 10", "0"),
            ("1 + 2", "3"),
            ("!(1 = 2)", "1"),
            ("0 | x", "x"),
            ("", ""),
            ("((((((((((((((((((((", ""),
        ] {
            assert_eq!(evaluate(text), value, "{text}");
        }
    }

    #[test]
    fn a_condition_is_a_number_that_is_not_0_or_any_text() {
        for (text, want) in [("1", true), ("0", false), ("", false), ("x", true)] {
            assert_eq!(holds(text), want, "{text}");
        }
    }
}
