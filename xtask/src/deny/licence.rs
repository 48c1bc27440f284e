//! SPDX licence expressions (SPDX 2.3, annex D): may this crate be used with these licences allowed?

/// Evaluates `expression` with `allow` true and everything else false. The old `A/B` form means `A OR B`.
pub fn allowed(expression: &str, allow: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut parser = Parser { words: spaced.split_whitespace().collect(), at: 0, allow, depth: 0 };
    let value = parser.any_of()?;
    match parser.next() {
        None => Ok(value),
        Some(word) => Err(format!("did not expect `{word}`")),
    }
}

/// Nesting beyond this is not a licence.
const DEPTH: usize = 16;

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    allow: &'a [String],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.words.get(self.at) == Some(&wanted);
        self.at += usize::from(found);
        found
    }

    fn any_of(&mut self) -> Result<bool, String> {
        let mut value = self.all_of()?;
        while self.take("OR") {
            value |= self.all_of()?;
        }
        Ok(value)
    }

    fn all_of(&mut self) -> Result<bool, String> {
        let mut value = self.one()?;
        while self.take("AND") {
            value &= self.one()?;
        }
        Ok(value)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH {
                return Err("nested too deep".to_owned());
            }
            let value = self.any_of()?;
            self.depth -= 1;
            return if self.take(")") { Ok(value) } else { Err("a parenthesis is not closed".to_owned()) };
        }
        let name = match self.next() {
            None => return Err("it ends too early".to_owned()),
            Some(word @ (")" | "AND" | "OR" | "WITH")) => {
                return Err(format!("did not expect `{word}`"));
            }
            Some(name) => name,
        };
        if self.take("WITH") {
            let exception = self.next().ok_or("no exception after WITH")?;
            return Ok(self.allow.contains(&format!("{name} WITH {exception}")));
        }
        Ok(self.allow.iter().any(|entry| entry == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allow: Vec<String> = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).to_vec();
        let cases = [
            ("MIT", Ok(true)),
            ("GPL-2.0-only", Ok(false)),
            ("MIT OR GPL-2.0-only", Ok(true)),
            ("MIT/GPL-2.0-only", Ok(true)),
            ("MIT AND GPL-2.0-only", Ok(false)),
            ("MIT AND ISC OR GPL-2.0-only", Ok(true)),
            ("GPL-2.0-only AND (MIT OR ISC)", Ok(false)),
            ("(GPL-2.0-only OR MIT) AND (ISC)", Ok(true)),
            ("Apache-2.0 WITH LLVM-exception", Ok(true)),
            ("Apache-2.0 WITH Other-exception", Ok(false)),
            ("Apache-2.0", Ok(false)),
            ("", Err(())),
            ("MIT OR", Err(())),
            ("(MIT", Err(())),
            ("MIT)", Err(())),
            ("MIT ISC", Err(())),
            ("AND MIT", Err(())),
        ];
        for (expression, expected) in cases {
            assert_eq!(allowed(expression, &allow).map_err(|_| ()), expected, "{expression}");
        }
        assert!(allowed(&"(".repeat(1000), &allow).is_err());
    }
}
