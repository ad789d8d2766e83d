//! What Amazon calls its topics, functions and regions.

use crate::webhook::LambdaFunction;

/// A topic's ARN, in the words of an error.
const TOPIC: &str = "must be the ARN of a topic, such as 'arn:aws:sns:eu-west-1:123456789012:webhooks'";
const FUNCTION: &str = "must be a function's name, its ARN, or the end of that from the account on, such as '123456789012:function:hooks'";

/// Reads the ARN of a topic in SNS.
///
/// # Errors
/// What it must be. The text is not repeated: it may be a secret in the wrong place.
pub fn read_topic_arn(text: &str) -> Result<String, String> {
    match text.split(':').collect::<Vec<_>>()[..] {
        ["arn", partition, "sns", region, account, name] => {
            place(partition, region, account)?;
            topic_name(name)?;
            Ok(text.to_owned())
        }
        ["arn", _, "sns", _, _, _, _] => {
            Err("is the ARN of a subscription; must be the topic's, without what follows its name".to_owned())
        }
        ["arn", _, service, _, _, ..] if service != "sns" => {
            Err(format!("{TOPIC}; this is one of another service"))
        }
        _ => Err(TOPIC.to_owned()),
    }
}

fn topic_name(name: &str) -> Result<(), String> {
    let sound = name.strip_suffix(".fifo").unwrap_or(name);
    if sound.is_empty() || name.len() > 256 || !sound.bytes().all(is_of_name) {
        return Err(
            "has a topic's name that is not 1 to 256 letters, digits, '_' or '-', with '.fifo' behind \
                    them for a FIFO topic"
                .to_owned(),
        );
    }
    Ok(())
}

/// Reads what Lambda takes as the name of a function. An ARN names its region too, which may also stand beside it.
///
/// # Errors
/// What it must be. The text is not repeated: it may be a secret in the wrong place.
pub fn read_function(text: &str, region: Option<&str>, is_async: bool) -> Result<LambdaFunction, String> {
    let (place_of, name, qualifier) = match text.split(':').collect::<Vec<_>>()[..] {
        ["arn", partition, "lambda", region, account, "function", name] => {
            (Some((partition, region, account)), name, None)
        }
        ["arn", partition, "lambda", region, account, "function", name, qualifier] => {
            (Some((partition, region, account)), name, Some(qualifier))
        }
        ["arn", _, service, _, _, ..] if service != "lambda" => {
            return Err(format!("{FUNCTION}; this is an ARN of another service"));
        }
        ["arn", ..] => return Err(FUNCTION.to_owned()),
        [account, "function", name] => {
            is_account(account)?;
            (None, name, None)
        }
        [account, "function", name, qualifier] => {
            is_account(account)?;
            (None, name, Some(qualifier))
        }
        [name] => (None, name, None),
        [name, qualifier] => (None, name, Some(qualifier)),
        _ => return Err(FUNCTION.to_owned()),
    };
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_of_name) {
        return Err(format!("{FUNCTION}; a name has 1 to 64 letters, digits, '_' or '-'"));
    }
    if let Some(qualifier) = qualifier.filter(|qualifier| *qualifier != "$LATEST")
        && (!(1..=128).contains(&qualifier.len()) || !qualifier.bytes().all(is_of_name))
    {
        return Err("has a version or an alias that is not 1 to 128 letters, digits, '_' or '-'".to_owned());
    }
    let of_arn = match place_of {
        Some((partition, region, account)) => {
            place(partition, region, account)?;
            Some(region)
        }
        None => None,
    };
    match (of_arn, region) {
        (Some(of_arn), Some(region)) if of_arn != region => {
            Err("is in another region than the one beside it".to_owned())
        }
        (of_arn, region) => {
            let region = of_arn.or(region).map(str::to_owned);
            Ok(LambdaFunction { name: text.to_owned(), region, is_async })
        }
    }
}

/// Reads the name of a region.
///
/// # Errors
/// What it must be.
pub(super) fn read_region(text: &str) -> Result<String, String> {
    let parts: Vec<_> = text.split('-').collect();
    let (number, words) = parts.split_last().expect("a split has a part");
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    if words.len() < 2 || !words.iter().all(is_word) || !is_number {
        return Err("must be a region such as 'eu-west-1'".to_owned());
    }
    Ok(text.to_owned())
}

/// The region that an ARN names, if it does.
pub fn region_of(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    parts.next().filter(|first| *first == "arn")?;
    parts.nth(2).filter(|region| !region.is_empty())
}

/// The parts of an ARN that say where something is.
fn place(partition: &str, region: &str, account: &str) -> Result<(), String> {
    let rest =
        partition.strip_prefix("aws").ok_or("has a partition that is not 'aws', 'aws-cn' or the like")?;
    if !rest.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()) {
        return Err("has a partition that is not 'aws', 'aws-cn' or the like".to_owned());
    }
    read_region(region).map_err(|_| "has a region that is not like 'eu-west-1'".to_owned())?;
    is_account(account)
}

fn is_account(account: &str) -> Result<(), String> {
    if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err("has an account that is not 12 digits".to_owned())
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOPIC_ARN: &str = "arn:aws:sns:eu-west-1:123456789012:webhooks";

    #[test]
    fn topics_are_named_by_their_arn() {
        let long = format!("arn:aws:sns:eu-west-1:123456789012:{}.fifo", "a".repeat(251));
        for arn in [
            TOPIC_ARN,
            "arn:aws-cn:sns:cn-north-1:123456789012:Hooks_1.fifo",
            "arn:aws-us-gov:sns:us-gov-east-1:123456789012:a-b",
            &long,
        ] {
            assert_eq!(read_topic_arn(arn).as_deref(), Ok(arn));
        }
    }

    #[test]
    fn each_mistake_in_a_topics_arn_is_told_by_itself() {
        let long = format!("arn:aws:sns:eu-west-1:123456789012:{}", "a".repeat(257));
        for (arn, what) in [
            ("", TOPIC),
            ("webhooks", TOPIC),
            ("arn:aws:sns:eu-west-1:123456789012", TOPIC),
            ("arn:aws:sqs:eu-west-1:123456789012:webhooks", "one of another service"),
            ("arn:aws:sns:eu-west-1:123456789012:webhooks:4f9b", "ARN of a subscription"),
            ("arn:aws2:sns:eu-west-1:123456789012:webhooks", "partition"),
            ("arn::sns:eu-west-1:123456789012:webhooks", "partition"),
            ("arn:aws:sns::123456789012:webhooks", "region"),
            ("arn:aws:sns:EU-WEST-1:123456789012:webhooks", "region"),
            ("arn:aws:sns:eu-west-1:12345678901:webhooks", "account"),
            ("arn:aws:sns:eu-west-1:12345678901x:webhooks", "account"),
            ("arn:aws:sns:eu-west-1:123456789012:", "topic's name"),
            ("arn:aws:sns:eu-west-1:123456789012:.fifo", "topic's name"),
            ("arn:aws:sns:eu-west-1:123456789012:a.b", "topic's name"),
            ("arn:aws:sns:eu-west-1:123456789012:web hooks", "topic's name"),
            (&long, "topic's name"),
        ] {
            let error = read_topic_arn(arn).unwrap_err();
            assert!(error.contains(what), "{arn}: {error}");
        }
    }

    #[test]
    fn functions_are_named_in_every_way_that_lambda_knows() {
        for (name, beside, region) in [
            ("hooks", None, None),
            ("hooks:live", Some("eu-west-1"), Some("eu-west-1")),
            ("hooks:$LATEST", None, None),
            ("123456789012:function:hooks", Some("eu-west-1"), Some("eu-west-1")),
            ("123456789012:function:hooks:7", None, None),
            ("arn:aws:lambda:eu-west-1:123456789012:function:hooks", None, Some("eu-west-1")),
            (
                "arn:aws-cn:lambda:cn-north-1:123456789012:function:h:7",
                Some("cn-north-1"),
                Some("cn-north-1"),
            ),
        ] {
            let function = read_function(name, beside, true).unwrap();
            assert_eq!((function.name.as_str(), function.region.as_deref()), (name, region));
            assert!(function.is_async);
        }
    }

    #[test]
    fn each_mistake_in_a_functions_name_is_told_by_itself() {
        let (long, long_alias) = ("a".repeat(65), format!("hooks:{}", "a".repeat(129)));
        for (name, what) in [
            ("", "1 to 64"),
            ("my hooks", "1 to 64"),
            (&long, "1 to 64"),
            ("hooks:", "alias"),
            ("hooks:a b", "alias"),
            (&long_alias, "alias"),
            ("12345:function:hooks", "account"),
            ("123456789012:layer:hooks", FUNCTION),
            ("a:b:c:d:e", FUNCTION),
            ("arn:aws:sns:eu-west-1:123456789012:hooks", "another service"),
            ("arn:aws:lambda:eu-west-1:123456789012:layer:hooks", FUNCTION),
            ("arn:aws:lambda:eu-west:123456789012:function:hooks", "region"),
            ("arn:aws:lambda:eu-west-1:1:function:hooks", "account"),
            ("arn:aws:lambda:eu-west-1:123456789012:function:", "1 to 64"),
        ] {
            let error = read_function(name, None, false).unwrap_err();
            assert!(error.contains(what), "{name}: {error}");
        }
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:hooks";
        let error = read_function(arn, Some("eu-west-2"), false).unwrap_err();
        assert!(error.contains("another region"), "{error}");
    }

    #[test]
    fn regions_look_like_regions() {
        for region in ["us-east-1", "ap-southeast-4", "us-gov-west-1", "us-iso-east-1", "xx-yy-12"] {
            assert_eq!(read_region(region).as_deref(), Ok(region));
        }
        for text in
            ["", "eu", "eu-west", "1", "-1", "eu--1", "EU-west-1", "eu-west-1a", "eu-west-123", "eu west-1"]
        {
            assert!(read_region(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_arn_says_where_it_is() {
        assert_eq!(region_of(TOPIC_ARN), Some("eu-west-1"));
        for text in ["", "hooks", "123456789012:function:hooks:x", "arn:aws:sns::1:t", "arn:aws"] {
            assert_eq!(region_of(text), None, "{text}");
        }
    }
}
