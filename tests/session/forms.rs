//! Answers that have to keep to a form, and calls that are demanded.

use super::*;

pub fn schema() -> Value {
    json!({ "type": "object", "properties": { "x": { "type": "integer" } }, "required": ["x"], "additionalProperties": false })
}

#[test]
fn a_form_binds_the_answer_and_leaves_the_thinking_alone() {
    let options = json!({ "responseFormat": { "type": "json_schema", "schema": schema() } });
    for batch in [1, 3, 100] {
        let mut bench = bench(Some("\nhm {\"y\": 3} so\n"), "{\"x\": 7}", batch);
        let (_, result) = bench.run(&user("x"), options.clone());
        assert_eq!((result.thinking.as_str(), result.content.as_str()), ("hm {\"y\": 3} so", "{\"x\": 7}"));
        assert_eq!(result.finish_reason, FinishReason::Stop);
        // The device thought by itself, as far as the tag and no further.
        let log = bench.log.borrow();
        assert!(log.plans[0].stop.contains(&260), "{:?}", log.plans[0].stop);
    }
    // What a model would not say by itself.
    let yes_or_no = json!({ "responseFormat": { "type": "regex", "pattern": "yes|no" } });
    for thinking in [None, Some("\nhm\n")] {
        for enabled in [true, false] {
            let mut bench = bench(thinking, "Maybe.", 3);
            let mut options = yes_or_no.clone();
            options["enableThinking"] = json!(enabled);
            let (_, result) = bench.run(&user("x"), options);
            assert!(["yes", "no"].contains(&result.content.as_str()), "{result:?}");
            assert_eq!(result.thinking, if enabled { thinking.unwrap_or_default().trim() } else { "" });
            assert_eq!(result.finish_reason, FinishReason::Stop);
        }
    }
}

#[test]
fn a_form_holds_after_a_budget_a_skip_and_an_unclosed_thinking() {
    let yes_or_no = json!({ "type": "regex", "pattern": "yes|no" });
    for batch in [1, 4] {
        for budget in [0, 1, 4] {
            let mut bench = bench(Some("\none two\n"), "Maybe.", batch);
            let (_, result) = bench.run(&user("x"), json!({ "responseFormat": yes_or_no, "thinkingBudget": budget }));
            assert_eq!(result.usage.thinking_tokens, budget);
            assert!(["yes", "no"].contains(&result.content.as_str()), "{result:?}");
        }
        let mut unclosed = bench(Some("\nhm<|im_end|>"), "Maybe.", batch);
        let (_, result) = unclosed.run(&user("x"), json!({ "responseFormat": yes_or_no }));
        assert_eq!(result.thinking, "hm");
        assert!(["yes", "no"].contains(&result.content.as_str()), "{result:?}");
        for steps in 0..8 {
            let mut bench = bench(Some("\none two\n"), "Maybe.", batch);
            let mut reply = bench.engine.chat(&user("x"), &json!({ "responseFormat": yes_or_no })).unwrap();
            let mut events = Vec::new();
            for _ in 0..steps {
                events.extend(block_on(bench.engine.step(&mut reply)).unwrap());
            }
            bench.engine.skip_thinking(&mut reply);
            events.extend(bench.drain(&mut reply));
            assert!(["yes", "no"].contains(&texts(&events).1.as_str()), "after {steps} steps: {events:?}");
        }
    }
}

#[test]
fn a_form_that_does_not_fit_ends_with_length_and_a_partial() {
    let mut bench = bench(None, "{\"x\": 12345678}", 3);
    let options = json!({ "responseFormat": { "type": "json_schema", "schema": schema() }, "maxTokens": 9 });
    let (_, result) = bench.run(&user("x"), options);
    assert_eq!((result.content.as_str(), result.finish_reason), ("{\"x\": 123", FinishReason::Length));
    // With log probabilities the same, and one for every token.
    let options = json!({ "responseFormat": { "type": "json_schema", "schema": schema() }, "logprobs": true });
    let (_, result) = bench.run(&user("x"), options);
    assert_eq!(result.content, "{\"x\": 12345678}");
    assert_eq!(result.logprobs.unwrap().len(), result.content.len());
}

#[test]
fn a_call_can_be_demanded() {
    let tools = json!([
        { "type": "function", "function": { "name": "look_up", "parameters": {
            "type": "object", "properties": { "place": { "enum": ["Rome", "Oslo"] } }, "required": ["place"],
            "additionalProperties": false } } },
        { "type": "function", "function": { "name": "stop" } },
    ]);
    let call = "<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"place\": \"Oslo\"}}\n</tool_call>";
    for batch in [1, 5, 1000] {
        // What the model would say anyway, once and twice.
        let two: &'static str = Box::leak(format!("{call}\n{call}").into_boxed_str());
        for (answer, n_calls) in [(call, 1), (two, 2)] {
            let mut bench = bench(Some("\nhm\n"), answer, batch);
            let (events, result) = bench.run(&user("x"), json!({ "tools": tools, "toolChoice": "required" }));
            assert_eq!((result.thinking.as_str(), result.content.as_str()), ("hm", ""));
            assert_eq!(result.finish_reason, FinishReason::ToolCalls);
            assert_eq!(result.tool_calls.len(), n_calls);
            assert_eq!(result.tool_calls[0].arguments, json!({ "place": "Oslo" }));
            let deltas: String = events
                .iter()
                .filter_map(|event| match event {
                    Event::ToolCallDelta { index: 0, arguments, .. } => Some(arguments.as_str()),
                    _ => None,
                })
                .collect();
            assert_eq!(deltas, "{\"place\": \"Oslo\"}");
        }
        // What it would not.
        let mut bench = bench(Some("\nhm\n"), "No, I will not.", batch);
        for thinking in [true, false] {
            let (_, result) = bench.run(
                &user("x"),
                json!({ "tools": tools, "toolChoice": { "name": "look_up" }, "enableThinking": thinking }),
            );
            let [call] = result.tool_calls.as_slice() else { panic!("{result:?}") };
            assert_eq!((call.name.as_str(), result.content.as_str()), ("look_up", ""));
            assert!(["Rome", "Oslo"].contains(&call.arguments["place"].as_str().unwrap()));
            assert_eq!(result.finish_reason, FinishReason::ToolCalls);
        }
        let (_, result) = bench.run(&user("x"), json!({ "tools": tools, "toolChoice": { "name": "stop" } }));
        assert_eq!((result.tool_calls[0].name.as_str(), &result.tool_calls[0].arguments), ("stop", &json!({})));
    }
}

#[test]
fn an_answer_of_a_form_may_still_call_tools() {
    let tools = json!([{ "name": "f", "parameters": { "properties": { "a": { "type": "string" } } } }]);
    let options = json!({ "tools": tools, "responseFormat": { "type": "json_schema", "schema": schema() } });
    let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"b\"}}\n</tool_call>";
    let mut calling = bench(Some("\nhm\n"), call, 3);
    let (_, result) = calling.run(&user("x"), options.clone());
    assert_eq!(result.tool_calls[0].arguments, json!({ "a": "b" }));
    let mut answering = bench(Some("\nhm\n"), "{\"x\": 1}", 3);
    let (_, result) = answering.run(&user("x"), options);
    assert_eq!((result.content.as_str(), result.finish_reason), ("{\"x\": 1}", FinishReason::Stop));
}
