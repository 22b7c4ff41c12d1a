package mcp

// Methods of all versions. An unknown method is read like any other; these only spare a copy and a spelling mistake.
const (
	Initialize             = "initialize"
	Ping                   = "ping"
	ServerDiscover         = "server/discover"
	SubscriptionsListen    = "subscriptions/listen"
	ToolsList              = "tools/list"
	ToolsCall              = "tools/call"
	ResourcesList          = "resources/list"
	ResourcesRead          = "resources/read"
	ResourcesTemplatesList = "resources/templates/list"
	ResourcesSubscribe     = "resources/subscribe"
	ResourcesUnsubscribe   = "resources/unsubscribe"
	PromptsList            = "prompts/list"
	PromptsGet             = "prompts/get"
	CompletionComplete     = "completion/complete"
	LoggingSetLevel        = "logging/setLevel"
	TasksGet               = "tasks/get"
	TasksResult            = "tasks/result"
	TasksList              = "tasks/list"
	TasksCancel            = "tasks/cancel"
	TasksUpdate            = "tasks/update"
	SamplingCreateMessage  = "sampling/createMessage"
	RootsList              = "roots/list"
	ElicitationCreate      = "elicitation/create"

	NotificationInitialized               = "notifications/initialized"
	NotificationCancelled                 = "notifications/cancelled"
	NotificationProgress                  = "notifications/progress"
	NotificationMessage                   = "notifications/message"
	NotificationRootsListChanged          = "notifications/roots/list_changed"
	NotificationToolsListChanged          = "notifications/tools/list_changed"
	NotificationPromptsListChanged        = "notifications/prompts/list_changed"
	NotificationResourcesListChanged      = "notifications/resources/list_changed"
	NotificationResourcesUpdated          = "notifications/resources/updated"
	NotificationElicitationComplete       = "notifications/elicitation/complete"
	NotificationTasksStatus               = "notifications/tasks/status"
	NotificationTasks                     = "notifications/tasks"
	NotificationSubscriptionsAcknowledged = "notifications/subscriptions/acknowledged"
)

// Members of _meta.
const (
	MetaProtocolVersion    = "io.modelcontextprotocol/protocolVersion"
	MetaClientCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaClientInfo         = "io.modelcontextprotocol/clientInfo"
	MetaServerInfo         = "io.modelcontextprotocol/serverInfo"
	MetaSubscriptionID     = "io.modelcontextprotocol/subscriptionId"
	MetaRelatedTask        = "io.modelcontextprotocol/related-task"
)

// JSON-RPC error codes, as written on the wire.
const (
	CodeParse                     = "-32700"
	CodeInvalidRequest            = "-32600"
	CodeMethodNotFound            = "-32601"
	CodeInvalidParams             = "-32602"
	CodeInternal                  = "-32603"
	CodeResourceNotFound          = "-32002" // legacy
	CodeURLElicitationRequired    = "-32042" // 2025-11-25
	CodeHeaderMismatch            = "-32020" // modern
	CodeMissingClientCapability   = "-32021"
	CodeUnsupportedProtocolVerion = "-32022"
)

var knownMethods = func() map[string]string {
	m := make(map[string]string)
	for _, s := range []string{
		Initialize, Ping, ServerDiscover, SubscriptionsListen, ToolsList, ToolsCall, ResourcesList, ResourcesRead, ResourcesTemplatesList,
		ResourcesSubscribe, ResourcesUnsubscribe, PromptsList, PromptsGet, CompletionComplete, LoggingSetLevel, TasksGet, TasksResult,
		TasksList, TasksCancel, TasksUpdate, SamplingCreateMessage, RootsList, ElicitationCreate, NotificationInitialized,
		NotificationCancelled, NotificationProgress, NotificationMessage, NotificationRootsListChanged, NotificationToolsListChanged,
		NotificationPromptsListChanged, NotificationResourcesListChanged, NotificationResourcesUpdated,
		NotificationElicitationComplete, NotificationTasksStatus, NotificationTasks, NotificationSubscriptionsAcknowledged,
	} {
		m[s] = s
	}
	return m
}()

// KnownMethod reports whether some version of the protocol defines method.
func KnownMethod(method string) bool {
	_, ok := knownMethods[method]
	return ok
}

func methodName(raw []byte) string {
	if len(raw) >= 2 {
		if s, ok := knownMethods[string(raw[1:len(raw)-1])]; ok {
			return s
		}
	}
	s, _ := Text(raw)
	return s
}
