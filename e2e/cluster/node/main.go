// flint-node is every Kubernetes component of the test cluster in one program; the first argument picks one.
//
// One program, because the components share most of their code: one build, one file, one page cache.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// component runs one of the cobra commands that Kubernetes' own programs consist of.
func component(command func() *cobra.Command) func() {
	return func() { os.Exit(cli.Run(command())) }
}

var components = map[string]func(){
	"apiserver":          component(apiserver.NewAPIServerCommand),
	"controller-manager": component(controllermanager.NewControllerManagerCommand),
	"scheduler":          component(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"proxy":              component(proxy.NewProxyCommand),
	"kubelet": component(func() *cobra.Command {
		return kubelet.NewKubeletCommand(context.Background())
	}),
	"etcd":    func() { etcdmain.Main(os.Args) },
	"coredns": coredns,
	"kubectl": func() {
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	},
	"stop-pods": func() { exitOn(stopPods(os.Args[1:])) },
	"resolve":   func() { exitOn(resolve(os.Args[1:])) },
}

func main() {
	if len(os.Args) < 2 || components[os.Args[1]] == nil {
		names := make([]string, 0, len(components))
		for name := range components {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "usage: flint-node %s [argument...]\n", strings.Join(names, "|"))
		os.Exit(2)
	}
	run := components[os.Args[1]]
	// Each component reads os.Args itself and takes the first for its own name.
	os.Args = os.Args[1:]
	run()
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "flint-node:", err)
		os.Exit(1)
	}
}
