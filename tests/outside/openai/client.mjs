// What the official client for Node makes of our server: one JSON object on standard output.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const model = "talker";
const messages = [{ role: "user", content: "hi" }];
const found = {};

found.models = (await client.models.list()).data.map((one) => one.id);

const chat = await client.chat.completions.create({ model, messages });
found.chat = { text: chat.choices[0].message.content, usage: chat.usage };

const chunks = [];
for await (const chunk of await client.chat.completions.create({
  model, messages, stream: true, stream_options: { include_usage: true },
})) chunks.push(chunk);
found.chunks = {
  text: chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""),
  finish: chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean),
  usage: chunks.at(-1).usage,
};
const runner = client.chat.completions.stream({ model, messages });
found.runner = await runner.finalContent();

const first = await client.responses.create({ model, input: "I am Ada" });
const second = await client.responses.create({
  model, input: "who am I?", previous_response_id: first.id,
});
found.responses = [first.output_text, second.output_text];

const kinds = [];
const stream = client.responses.stream({ model, input: "hi" });
for await (const event of stream) kinds.push(event.type);
found.stream = { kinds, text: (await stream.finalResponse()).output_text };

const asked = await client.responses.create({ model: "payer", input: "pay 12" });
const call = asked.output.find((item) => item.type === "mcp_approval_request");
const paid = await client.responses.create({
  model: "payer",
  previous_response_id: asked.id,
  input: [{ type: "mcp_approval_response", approval_request_id: call.id, approve: true }],
});
found.approval = { name: call.name, arguments: JSON.parse(call.arguments), text: paid.output_text };

const refused = async (make) => {
  try {
    await make();
    return "nothing was refused";
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
};
found.refused = {
  model: await refused(() => client.chat.completions.create({ model: "nobody", messages })),
  key: await refused(() =>
    new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 }).responses.create({ model, input: "x" })),
};

console.log(JSON.stringify(found));
