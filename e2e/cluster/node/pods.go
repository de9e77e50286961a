package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	criclient "k8s.io/cri-client/pkg"
)

// stopPods ends every pod of a container runtime, as `kubeadm reset` does: `stop-pods ENDPOINT`.
//
// Going through the runtime rather than killing processes makes it undo what it set up: the pod's network, its
// mounts and its shim.
func stopPods(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: stop-pods ENDPOINT")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	runtime, err := criclient.NewRemoteRuntimeService(args[0], 30*time.Second, nil, nil)
	if err != nil {
		return err
	}
	pods, err := runtime.ListPodSandbox(ctx, &runtimeapi.PodSandboxFilter{})
	if err != nil {
		return err
	}
	var (
		group  sync.WaitGroup
		failed = make([]error, len(pods))
		// Each stop starts a handful of CNI processes.
		slots = make(chan struct{}, 8)
	)
	for i, pod := range pods {
		group.Add(1)
		go func() {
			defer group.Done()
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := runtime.StopPodSandbox(ctx, pod.Id); err != nil {
				failed[i] = fmt.Errorf("stop %s: %w", pod.Metadata.Name, err)
			} else if err := runtime.RemovePodSandbox(ctx, pod.Id); err != nil {
				failed[i] = fmt.Errorf("remove %s: %w", pod.Metadata.Name, err)
			}
		}()
	}
	group.Wait()
	return errors.Join(failed...)
}

// resolve looks a name up at one DNS server and prints its addresses: `resolve NAME SERVER:PORT`.
func resolve(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: resolve NAME SERVER:PORT")
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, args[1])
	}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, args[0])
	for _, address := range addresses {
		fmt.Println(address)
	}
	return err
}
