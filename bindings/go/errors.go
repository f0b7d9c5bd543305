// What goes wrong: one type, and one value per code for errors.Is.

package sandport

import "encoding/json"

// Code is a stable word for what went wrong. errors.Is(err, sandport.NotFound) asks for it.
type Code string

// Error is the word itself.
func (c Code) Error() string { return string(c) }

// The codes.
const (
	InvalidArgument    Code = "invalid_argument"
	InvalidHandle      Code = "invalid_handle"
	NotFound           Code = "not_found"
	RuntimeUnavailable Code = "runtime_unavailable"
	RuntimeFailed      Code = "runtime_failed"
	ImageNotFound      Code = "image_not_found"
	PortExhausted      Code = "port_exhausted"
	NameConflict       Code = "name_conflict"
	NotReady           Code = "not_ready"
	SandboxExited      Code = "sandbox_exited"
	Timeout            Code = "timeout"
	Cancelled          Code = "cancelled"
	Denied             Code = "denied"
	QuotaExceeded      Code = "quota_exceeded"
	Unsupported        Code = "unsupported"
	Internal           Code = "internal"
)

// Error is a failure with what happened and what to do about it; errors.As finds it.
type Error struct {
	Code      Code            `json:"code"`
	Message   string          `json:"message"`
	Hint      string          `json:"hint"`
	Phase     string          `json:"phase"`
	Runtime   string          `json:"runtime"`
	Retryable bool            `json:"retryable"`
	Details   json.RawMessage `json:"details"`
}

func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Message
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap gives the code, for errors.Is.
func (e *Error) Unwrap() error { return e.Code }

func parse(answer string, into any) error {
	var failed struct {
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal([]byte(answer), &failed); err != nil {
		return &Error{Code: Internal, Message: "the library's answer is no JSON"}
	}
	if failed.Error != nil {
		return failed.Error
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal([]byte(answer), into)
}
