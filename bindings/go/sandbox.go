// The calls, typed.

package sandport

import (
	"context"
	"encoding/base64"
	"encoding/json"
)

// Sandbox is what the library tells of one.
type Sandbox struct {
	ID            string            `json:"sandbox_id"`
	URL           string            `json:"sandbox_url"`
	ContainerName string            `json:"container_name"`
	ContainerID   string            `json:"container_id"`
	CreatedAt     float64           `json:"created_at"` // Unix seconds
	Runtime       string            `json:"runtime"`
	State         string            `json:"state"`
	Created       *bool             `json:"created"`
	SpecMatches   *bool             `json:"spec_matches"`
	Leased        *bool             `json:"leased"`
	Isolation     *string           `json:"isolation"`
	Auth          map[string]string `json:"auth"` // header and value, from create and discover alone
	Warnings      []string          `json:"warnings"`
}

// Target says which sandbox a call means.
type Target struct{ fields Object }

// ID means whatever container bears this sandbox id now.
func ID(id string) Target { return Target{Object{"sandbox_id": id}} }

// Target means this very container, and never its successor.
func (s *Sandbox) Target() Target {
	return Target{Object{"sandbox_id": s.ID, "container_id": s.ContainerID}}
}

func (t Target) with(more Object) Object {
	request := Object{}
	for name, value := range t.fields {
		request[name] = value
	}
	for name, value := range more {
		request[name] = value
	}
	return request
}

// Create makes the sandbox that the request describes (docs/api.md, create), or adopts the one that is there, and
// returns when it answers. progress may be nil.
func (b *Backend) Create(ctx context.Context, request Object, progress func(Object)) (*Sandbox, error) {
	made := &Sandbox{}
	if err := b.Call(ctx, "create", given(request), made, progress); err != nil {
		return nil, err
	}
	return made, nil
}

// Destroy stops and removes it; false where there was none.
func (b *Backend) Destroy(ctx context.Context, target Target) (bool, error) {
	var answer struct{ Destroyed bool }
	err := b.Call(ctx, "destroy", target.with(nil), &answer, nil)
	return answer.Destroyed, err
}

// IsAlive says whether its container runs; an error means that this could not be found out.
func (b *Backend) IsAlive(ctx context.Context, target Target) (bool, error) {
	var answer struct{ Alive bool }
	err := b.Call(ctx, "is_alive", target.with(nil), &answer, nil)
	return answer.Alive, err
}

// Discover finds a sandbox that any process started; nil when the engine says that there is none that answers.
func (b *Backend) Discover(ctx context.Context, target Target) (*Sandbox, error) {
	var answer struct{ Sandbox *Sandbox }
	err := b.Call(ctx, "discover", target.with(nil), &answer, nil)
	return answer.Sandbox, err
}

// List tells of all sandboxes of this prefix that run.
func (b *Backend) List(ctx context.Context) ([]Sandbox, error) {
	var answer struct{ Sandboxes []Sandbox }
	err := b.Call(ctx, "list", Object{}, &answer, nil)
	return answer.Sandboxes, err
}

// Release says that this backend no longer uses it; it lives on.
func (b *Backend) Release(ctx context.Context, target Target) (bool, error) {
	var answer struct{ Released bool }
	err := b.Call(ctx, "release", target.with(nil), &answer, nil)
	return answer.Released, err
}

// Reaped is what a reap did, and why it left the rest.
type Reaped struct {
	Reaped []string
	Kept   []struct {
		ID     string `json:"sandbox_id"`
		Reason string
	}
}

// Reap removes what nobody has used for so many seconds; the request's other fields are in docs/api.md.
func (b *Backend) Reap(ctx context.Context, request Object) (Reaped, error) {
	var answer Reaped
	err := b.Call(ctx, "reap", given(request), &answer, nil)
	return answer, err
}

// Response is what a sandbox answered.
type Response struct {
	Status  int
	Headers map[string][]string
	Body    []byte
}

// Request sends an HTTP request (method, path, headers, body: docs/api.md, request) to the sandbox and nobody else.
func (b *Backend) Request(ctx context.Context, target Target, request Object) (*Response, error) {
	var answer struct {
		Status  int
		Headers map[string][]string
		Body    *string
		Base64  *string `json:"body_base64"`
	}
	if err := b.Call(ctx, "request", target.with(request), &answer, nil); err != nil {
		return nil, err
	}
	response := &Response{Status: answer.Status, Headers: answer.Headers}
	if answer.Base64 != nil {
		body, err := base64.StdEncoding.DecodeString(*answer.Base64)
		response.Body = body
		return response, err
	}
	if answer.Body != nil {
		response.Body = []byte(*answer.Body)
	}
	return response, nil
}

// Shell is a request to the AIO API's POST /v1/shell/exec; what the command printed.
func (b *Backend) Shell(ctx context.Context, target Target, command string) (string, error) {
	body, err := json.Marshal(Object{"command": command})
	if err != nil {
		return "", err
	}
	response, err := b.Request(ctx, target, Object{"method": "POST", "path": "/v1/shell/exec",
		"headers": Object{"content-type": "application/json"}, "body": string(body)})
	if err != nil {
		return "", err
	}
	var answer struct{ Data struct{ Output string } }
	err = json.Unmarshal(response.Body, &answer)
	return answer.Data.Output, err
}
