"""The schema of ARC's GraphQL protocol, name for name.

Inputs that the original requires although every client sends the same are given defaults here;
documents written for the original stay valid. Types whose part is switched off are left out.
"""

_INPUTS = """
input AgentRequestInput {
  messages: [MessageInput!]!
  conversationContext: ConversationContextInput!
  systemContext: [SystemContextEntryInput!]! = []
  userContext: UserContextInput! = {}
}
input ConversationContextInput {
  conversationId: String!
  turnId: String
  anonymizationEntities: [AnonymizationEntityInput!]
}
input UserContextInput { userId: String userToken: String profile: [ProfileEntryInput!]! = [] }
input SystemContextEntryInput { key: String! value: String! }
input ProfileEntryInput { key: String! value: String! }
input AnonymizationEntityInput { type: String! value: String! replacement: String! }
input MessageInput {
  role: String!
  content: String!
  format: String! = "text"
  turnId: String
  binaryData: [BinaryDataInput!]
}
input BinaryDataInput { mimeType: String! dataAsBase64: String source: String }
"""

_RESULTS = """
type Agents { names: [String!]! }
type AgentResult {
  "What became of the turn: a classification such as UNRESOLVED or AGENT_HANDOVER[agent], or null."
  status: String
  "Seconds since the request came in."
  responseTime: Float!
  messages: [Message!]!
  anonymizationEntities: [AnonymizationEntity!]
  context: [ContextEntry!]
  toolCalls: [ToolCall!]
  type: AgentResultType
}
enum AgentResultType { MESSAGE INTERMEDIATE_MESSAGE EVENT ERROR }
type Message {
  role: String!
  content: String!
  format: String!
  turnId: String
  binaryData: [BinaryData!]
}
type BinaryData { mimeType: String! dataAsBase64: String source: String }
type AnonymizationEntity { type: String! value: String! replacement: String! }
type ContextEntry { key: String! value: String! }
type ToolCall { name: String! arguments: String! }
"""

_TOOLS = """
type Tools { tools: [Tool!]! }
type Tool {
  name: String!
  description: String!
  "A JSON schema as text."
  parameters: String!
}
"""

_CALLING = """
type Mutation {
  "Calls a tool; `parameters` is a JSON object as text."
  tool(name: String!, parameters: String): ToolExecutionResult!
}
type ToolExecutionResult { result: String error: String }
"""

_EVENTS = """
type AgentEvent { type: String! payload: String! conversationId: String turnId: String }
"""


def sdl(*, tools: bool = False, calling: bool = False, events: bool = False) -> str:
    """The schema's text: with the tools listed, with tools that can be called, with events."""
    query = "agent: Agents!" + (" tool: Tools!" if tools else "")
    agent = "agent(agentName: String, request: AgentRequestInput!): AgentResult!"
    subscription = agent + (" events: AgentEvent!" if events else "")
    return "".join(
        (
            f"type Query {{ {query} }}\ntype Subscription {{ {subscription} }}",
            _RESULTS,
            _INPUTS,
            _TOOLS if tools else "",
            _CALLING if calling else "",
            _EVENTS if events else "",
        )
    )
