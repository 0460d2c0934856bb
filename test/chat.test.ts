import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../src/errors.ts";
import { chatTemplateOf, renderChatTemplate, strftime } from "../src/text/chat.ts";

const chat = suite("chat templates");
const user = [{ role: "user", content: "Hi" }];
const render = (template: string, variables?: Record<string, unknown>): string => renderChatTemplate(template, user, { addGenerationPrompt: true, variables });

chat("blocks leave no lines behind: trim_blocks and lstrip_blocks", () => {
  assert.is(render("{% for m in messages %}\n  {% if true %}\n{{ m.role }}:{{ m['content'] }}\n  {% endif %}\n{% endfor %}\nend"), "user:Hi\nend");
});

chat("variables, generation prompt and named tokens", () => {
  assert.is(render("{{ bos_token }}{% if add_generation_prompt %}go{% endif %}{{ missing }}", { bos_token: "<s>" }), "<s>go");
  assert.is(render("{% for i in range(1, 7, 2) %}{{ i }}{% endfor %}{% for i in range(3) %}{{ i }}{% endfor %}"), "135012");
});

chat("raise_exception becomes a FormatError with its words", () => {
  assert.throws(() => render("{{ raise_exception('roles must alternate') }}"), (e: unknown) => e instanceof FormatError && /roles must alternate/.test(e.message));
});

chat("a broken template is a FormatError", () => {
  assert.throws(() => render("{% for %}"), (e: unknown) => e instanceof FormatError);
});

chat("a template cannot reach JavaScript's prototypes", () => {
  for (const attack of ["{{ ''.constructor.constructor('return 1')() }}", "{{ messages.__proto__.polluted }}", "{{ messages[0].constructor }}"]) {
    let text = "";
    try {
      text = render(attack);
    } catch (error) {
      assert.instance(error, FormatError);
    }
    assert.not.match(text, /function|native|1/);
  }
});

chat("a template cannot run for ever", () => {
  const bombs = [
    "{% set r = range(99999) %}{% for a in r %}{% for b in r %}{% break %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) if b > 5 %}{% endfor %}{% endfor %}",
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
  ];
  for (const bomb of bombs) assert.throws(() => render(bomb), (e: unknown) => e instanceof FormatError, bomb);
});

chat("the template is a file, a string or the one named default", () => {
  assert.is(chatTemplateOf({ chat_template: "a" }, "file"), "file");
  assert.is(chatTemplateOf({ chat_template: "a" }), "a");
  assert.is(chatTemplateOf({ chat_template: [{ name: "tool_use", template: "t" }, { name: "default", template: "d" }] }), "d");
  assert.is(chatTemplateOf({}), undefined);
  assert.throws(() => chatTemplateOf({ chat_template: 5 }), (e: unknown) => e instanceof FormatError);
});

chat("strftime in the C locale", () => {
  const date = new Date(2024, 6, 4, 15, 7, 9);
  assert.is(strftime(date, "%d %b %Y, %B %A %a %y-%m %H:%M:%S %I%p 100%% %-d %q"), "04 Jul 2024, July Thursday Thu 24-07 15:07:09 03PM 100% 4 %q");
  assert.is(renderChatTemplate("{{ strftime_now('%Y') }}", user, { addGenerationPrompt: false, now: date }), "2024");
});

chat.run();
