// The whole job, step by step with the times: make a sandbox, use it, find it again, destroy it.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"sandport.dev/sandport"
)

var begun = time.Now()

func say(format string, values ...any) {
	fmt.Printf("%7.1f ms  %s\n", time.Since(begun).Seconds()*1e3, fmt.Sprintf(format, values...))
}

func main() {
	ctx := context.Background()
	backend, err := sandport.Open(ctx, sandport.Object{"image": "sandport-test:latest"})
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	say("opened on %s", backend.Opened.Runtime)
	box, err := backend.Create(ctx, sandport.Object{"sandbox_id": "go-example"}, func(progress sandport.Object) {
		say("  %v", progress["phase"])
	})
	if err != nil {
		log.Fatal(err)
	}
	say("%s at %s", box.ContainerName, box.URL)
	output, err := backend.Shell(ctx, box.Target(), "echo hello from $(uname -s)")
	if err != nil {
		log.Fatal(err)
	}
	say("it said: %s", output)
	again, err := backend.Discover(ctx, sandport.ID("go-example"))
	if err != nil || again == nil {
		log.Fatal("it is not found again: ", err)
	}
	say("found again: the same container: %v", again.ContainerID == box.ContainerID)
	destroyed, err := backend.Destroy(ctx, box.Target())
	if err != nil {
		log.Fatal(err)
	}
	say("destroyed: %v", destroyed)
}
