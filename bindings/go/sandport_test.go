package sandport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var numbers atomic.Int32

func own(t *testing.T) Object {
	t.Helper()
	number := int(numbers.Add(1))
	config := Object{"image": "sandport-test:latest", "container_prefix": fmt.Sprintf("go%dn%d", os.Getpid(), number),
		"base_port": 30500 + 20*number, "port_count": 40, "state_dir": filepath.Join(t.TempDir(), "state"),
		"stop_timeout_seconds": 1}
	t.Cleanup(func() {
		b, err := Open(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		left, err := b.List(context.Background())
		for _, one := range left {
			b.Destroy(context.Background(), one.Target())
		}
		if err != nil || len(left) > 0 {
			t.Errorf("the test left %v (%v)", left, err)
		}
	})
	return config
}

func opened(t *testing.T, config Object) *Backend {
	t.Helper()
	b, err := Open(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func fill(value any, saved Object) any {
	switch value := value.(type) {
	case string:
		if found, ok := saved[strings.Trim(value, "{}")]; ok && strings.HasPrefix(value, "{") && value != "{id}" {
			return found
		}
		return strings.ReplaceAll(value, "{id}", saved["id"].(string))
	case []any:
		all := make([]any, len(value))
		for i, one := range value {
			all[i] = fill(one, saved)
		}
		return all
	case Object:
		all := Object{}
		for name, one := range value {
			all[name] = fill(one, saved)
		}
		return all
	}
	return value
}

func holds(answer, expected any) bool {
	fields, ok := expected.(Object)
	if !ok {
		return reflect.DeepEqual(answer, expected)
	}
	has, ok := answer.(Object)
	for name, value := range fields {
		if !ok || !holds(has[name], value) {
			return false
		}
	}
	return true
}

func TestConformance(t *testing.T) {
	files, _ := filepath.Glob("../conformance/*.json")
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Name   string
			Config Object
			Steps  []Object
		}
		if err := json.Unmarshal(text, &cases); err != nil {
			t.Fatal(file, err)
		}
		for _, one := range cases {
			t.Run(one.Name, func(t *testing.T) {
				config := Object{}
				for name, value := range own(t) {
					config[name] = value
				}
				for name, value := range one.Config {
					config[name] = value
				}
				b := opened(t, config)
				saved := Object{"id": fmt.Sprintf("c%d", time.Now().UnixNano())}
				for _, step := range one.Steps {
					runStep(t, b, step, saved)
				}
				if b.core.closed || one.Config["endpoint"] != nil {
					return
				}
				left, err := b.List(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				for _, box := range left {
					b.Destroy(context.Background(), box.Target())
				}
			})
		}
	}
}

func runStep(t *testing.T, b *Backend, step, saved Object) {
	t.Helper()
	call := step["call"].(string)
	if call == "close" {
		b.Close()
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	after, cancelled := step["cancel_after_ms"].(float64)
	if cancelled {
		time.AfterFunc(time.Duration(after*float64(time.Millisecond)), cancel)
	}
	reports := 0
	var answer Object
	err := b.Call(ctx, call, fill(step["input"], saved), &answer, func(seen Object) {
		if seen["phase"] != nil {
			reports++
		}
	})
	switch {
	case cancelled:
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, Cancelled) {
			t.Fatal(err)
		}
		// The call has returned at once; what it made is taken back by and by.
		for end := time.Now().Add(20 * time.Second); err != nil && !strings.Contains(t.Name(), "adoption"); {
			left, err := b.List(context.Background())
			if err == nil && len(left) == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("not taken back: ", left, err)
			}
		}
	case step["error"] != nil:
		if !errors.Is(err, Code(step["error"].(string))) {
			t.Fatalf("%s: %v, %v", call, answer, err)
		}
	default:
		if err != nil || !holds(answer, fill(step["expect"], saved)) {
			t.Fatalf("%s: %v, %v", call, answer, err)
		}
		if step["progress"] == true && reports == 0 {
			t.Fatal("no progress")
		}
	}
	if name, ok := step["save"].(string); ok {
		saved[name] = answer
	}
}

func TestAContextThatEndsReturnsAtOnceAndLeavesNothing(t *testing.T) {
	b := opened(t, own(t))
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, enough)
	defer cancel()
	begun := time.Now()
	_, err := b.Create(ctx, Object{"sandbox_id": "ended", "environment": Object{"SANDBOX_NEVER_ANSWER": "1"}}, nil)
	took := time.Since(begun)
	t.Logf("a context of 50 ms returned after %v", took)
	if err != enough || took > time.Second {
		t.Fatal(err, took)
	}
	for end := time.Now().Add(20 * time.Second); ; {
		left, err := b.List(context.Background())
		alive, aliveErr := b.IsAlive(context.Background(), ID("ended"))
		if err == nil && aliveErr == nil && len(left) == 0 && !alive {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is left behind")
		}
	}
}

func TestErrorsAreTheLanguagesOwn(t *testing.T) {
	_, err := Open(context.Background(), Object{"imagee": 1})
	var told *Error
	if !errors.Is(err, InvalidArgument) || !errors.As(err, &told) || !strings.Contains(told.Message, "imagee") {
		t.Fatal(err)
	}
	var zero Backend
	if _, err := zero.List(context.Background()); !errors.Is(err, InvalidHandle) {
		t.Fatal(err)
	}
	b := opened(t, own(t))
	b.Close()
	b.Close()
	if _, err := b.List(context.Background()); !errors.Is(err, InvalidHandle) {
		t.Fatal(err)
	}
}

func threads() int {
	tasks, _ := os.ReadDir("/proc/self/task")
	return len(tasks)
}

func TestAHundredCallsCostFewThreadsAndNothingIsLeft(t *testing.T) {
	b := opened(t, own(t))
	goroutines, before := runtime.NumGoroutine(), threads()
	most := before
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			var answer Object
			b.Call(context.Background(), "wait_ready", Object{"sandbox_url": "http://127.0.0.1:9", "timeout_seconds": 0.2}, &answer, nil)
		})
	}
	most = max(most, threads())
	all.Wait()
	t.Logf("100 calls: %d threads before, %d seen (32 of them the library's)", before, most)
	if most > before+32+20 {
		t.Fatal("too many threads")
	}
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > goroutines; {
		if time.Now().After(end) {
			t.Fatal("goroutines are left: ", runtime.NumGoroutine(), goroutines)
		}
		runtime.Gosched()
	}
}

func TestTheReadmesFirstLinesAndTheExampleRun(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(text)
	folder, err := os.MkdirTemp("examples", "readme")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "main.go"), lines[1], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, wanted := range map[string]string{"./" + folder: "Linux", "./examples/life": "destroyed: true"} {
		told, err := exec.Command("go", "run", name).CombinedOutput()
		if err != nil || !strings.Contains(string(told), wanted) {
			t.Fatalf("%s: %v\n%s", name, err, told)
		}
	}
}
