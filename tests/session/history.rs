//! What outlives a reply: the next turn read ahead in idle time, and replies that are saved.

use super::*;
use crate::device::Bench;
use crate::forms::schema;

impl Bench {
    fn idle(&mut self) -> usize {
        let mut steps = 0;
        while block_on(self.engine.idle()).unwrap() {
            steps += 1;
        }
        steps
    }
}

fn next_turn(messages: &Value, reply: &ReplyResult, question: &str) -> Value {
    let mut messages = messages.clone();
    let list = messages.as_array_mut().unwrap();
    list.push(json!({ "role": "assistant", "content": reply.content, "thinking": reply.thinking }));
    list.push(json!({ "role": "user", "content": question }));
    messages
}

#[test]
fn idle_time_reads_the_reply_as_the_history_it_becomes() {
    let answer = "An answer of more than a chunk of tokens, without its thinking.";
    for thinking in [true, false] {
        let mut bench = bench(Some("\nhm\n"), answer, 5);
        let options = json!({ "enableThinking": thinking });
        let (_, first) = bench.run(&user("Hello"), options.clone());
        let messages = next_turn(&user("Hello"), &first, "And?");
        bench.log.borrow_mut().prefills.clear();
        // One step for each chunk.
        assert_eq!(bench.idle() + 1, bench.log.borrow().prefills.len());
        let (_, second) = bench.run(&messages, options.clone());
        let question = "user\nAnd?".len() + 1 + 1 + 1 + "assistant\n".len() + if thinking { 0 } else { 2 + 4 };
        assert_eq!(second.usage.prompt_tokens - second.usage.cached_tokens, question);
        assert_eq!(second.content, answer);
        // A call that comes in between finds what has been read so far.
        let (_, third) = bench.run(&next_turn(&messages, &second, "So?"), options.clone());
        assert!(third.usage.cached_tokens < third.usage.prompt_tokens / 2 + 80);
        block_on(bench.engine.idle()).unwrap();
        let (_, other) = bench.run(&user("Something else"), options);
        assert_eq!(other.content, answer);
    }
}

#[test]
fn there_is_nothing_to_read_ahead_after_a_call_an_abort_or_another_conversation() {
    let mut bench = bench(None, "<tool_call>\n{\"name\": \"f\"}\n</tool_call>", 5);
    assert!(!block_on(bench.engine.idle()).unwrap());
    bench.run(&user("x"), json!({ "tools": [{ "name": "f" }] }));
    let n_prefills = bench.log.borrow().prefills.len();
    assert_eq!((bench.idle(), bench.log.borrow().prefills.len()), (0, n_prefills));
    let mut reply = bench.engine.chat(&user("y"), &json!({})).unwrap();
    bench.engine.abort(&mut reply);
    bench.drain(&mut reply);
    bench.idle();
    assert_eq!(bench.log.borrow().prefills.len(), n_prefills);
    bench.run(&user("x"), json!({}));
    block_on(bench.engine.prefill(&user("Another conversation"), &json!({}))).unwrap();
    let n_prefills = bench.log.borrow().prefills.len();
    bench.idle();
    assert_eq!(bench.log.borrow().prefills.len(), n_prefills);
}

#[test]
fn a_saved_reply_goes_on_elsewhere_as_if_nothing_had_been() {
    let tools = json!([{ "name": "f", "parameters": { "properties": { "a": { "enum": ["b", "c"] } } } }]);
    let call = "One moment.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"c\"}}\n</tool_call>";
    let cases = [
        ("Hello 👋 there", json!({ "seed": 3 })),
        ("Hello 👋 there", json!({ "seed": 3, "thinkingBudget": 4, "stop": "re" })),
        ("{\"x\": 7}", json!({ "seed": 3, "responseFormat": { "type": "json_schema", "schema": schema() } })),
        (call, json!({ "tools": tools })),
        (call, json!({ "tools": tools, "toolChoice": "required", "maxTokens": 200 })),
    ];
    for (answer, options) in cases {
        let mut seeded = options.clone();
        seeded["seed"] = json!(9);
        let (_, whole) = bench(Some("\nhm 😀 so\n"), answer, 1).run(&user("x"), seeded.clone());
        for steps in (0..200).step_by(3) {
            let mut before = bench(Some("\nhm 😀 so\n"), answer, 1);
            let mut reply = before.engine.chat(&user("x"), &seeded).unwrap();
            for _ in 0..steps {
                block_on(before.engine.step(&mut reply)).unwrap();
            }
            if reply.is_done() {
                assert_eq!(before.engine.save(&reply).unwrap_err().kind, ErrorKind::InvalidArgument);
                break;
            }
            let saved: Value = serde_json::from_str(&before.engine.save(&reply).unwrap().to_string()).unwrap();
            let mut after = bench(Some("\nhm 😀 so\n"), answer, 1);
            let mut resumed = after.engine.resume(&saved).unwrap();
            let events = after.drain(&mut resumed);
            let Some(Event::Done { result }) = events.last().cloned() else { panic!("{events:?}") };
            // The events tell all of it again.
            assert_eq!(texts(&events), (result.thinking.clone(), result.content.clone()));
            let told = |result: &ReplyResult| {
                let calls: Vec<Value> = result.tool_calls.iter().map(|call| call.arguments.clone()).collect();
                (result.thinking.clone(), result.content.clone(), calls, result.finish_reason, result.seed)
            };
            assert_eq!(told(&result), told(&whole), "{options} saved after {steps} steps");
            assert_eq!(result.usage.thinking_tokens, whole.usage.thinking_tokens);
            assert_eq!(result.usage.completion_tokens, whole.usage.completion_tokens);
        }
    }
    let mut bench = bench(None, "Hi", 1);
    for wrong in [json!(null), json!({}), json!({ "version": 2 })] {
        assert_eq!(bench.engine.resume(&wrong).err().unwrap().kind, ErrorKind::InvalidArgument);
    }
}
