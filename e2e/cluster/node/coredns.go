package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	// Only the plugins that our Corefile names: each further one brings its own dependencies.
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
)

func coredns() {
	// The order in which a query passes them; CoreDNS knows no plugin that is not listed here.
	dnsserver.Directives = []string{"bind", "errors", "loadbalance", "cache", "kubernetes", "forward"}
	coremain.Run()
}
