// The agent that enforces NetworkPolicies on a node: what kube-network-policies decides of the packets that the
// node's own rules (role network_policy) hand to it. Upstream's main brings rules of its own, which need an
// expression of nftables that not every kernel has, and takes a pod that it does not know yet for an outsider.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const (
	// No kernel takes a table of so long a name, so that upstream's rules are loaded nowhere.
	noTable = 300
	// How long details of each packet are in the journal after SIGUSR1.
	detailed = time.Minute
	queues   = "/proc/net/netfilter/nfnetlink_queue"
)

func main() {
	klog.InitFlags(nil)
	kubeconfig := flag.String("kubeconfig", "", "credentials to the API server")
	node := flag.String("node", "", "name of this node")
	pods := flag.String("pods", "", "CIDR of this node's pods")
	results := flag.String("cni-results", "/var/lib/cni/results", "what the container runtime has made of networks")
	queue := flag.Int("queue", 100, "number of the queue that packets come from")
	listen := flag.String("listen", "", "address and port of /healthz and /metrics")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *node, *pods, *results, *queue, *listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, node, pods, results string, queue int, listen string) error {
	local, err := netip.ParsePrefix(pods)
	if err != nil {
		return fmt.Errorf("--pods: %w", err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	// An empty list of rules denies and a missing one too: in JSON they differ, and upstream takes the first for
	// "everything"; in protobuf they are one.
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf"
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	known := knownPods{factory.Core().V1().Pods(), &made{folder: results, local: local}}
	policies := knownPolicies{factory.Networking().V1().NetworkPolicies()}
	namespaces := factory.Core().V1().Namespaces()
	controller, err := networkpolicy.NewController(
		client, policies, namespaces, known, nil, nil, nil, nil,
		networkpolicy.Config{QueueID: queue, NodeName: node, NFTableName: strings.Repeat("-", noTable)},
	)
	if err != nil {
		return err
	}
	prometheus.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "antenna_network_policy_enforcing",
		Help: "1 while the agent decides about connections of this node's pods; 0: none passes.",
	}, func() float64 {
		if listening(queue) {
			return 1
		}
		return 0
	}))
	serve := &http.Server{Addr: listen, ReadHeaderTimeout: 10 * time.Second}
	http.Handle("/metrics", promhttp.Handler())
	http.HandleFunc("/healthz", func(answer http.ResponseWriter, _ *http.Request) {
		if !listening(queue) {
			http.Error(answer, "not at the queue yet: no new connection of a pod passes", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(answer, "ok")
	})
	go detailsOnDemand(ctx)
	ended := make(chan error, 2)
	go func() { ended <- serve.ListenAndServe() }()
	go func() { ended <- controller.Run(ctx) }()
	factory.Start(ctx.Done())
	err = <-ended
	if ctx.Err() != nil {
		return nil
	}
	// Whichever ended: without the other nobody would see that no packet passes, or none would.
	return errors.Join(err, errors.New("ended by itself"))
}

// Whether somebody takes packets from the queue, by what the kernel says.
func listening(queue int) bool {
	rows, err := os.ReadFile(queues)
	if err != nil {
		return false
	}
	for _, row := range strings.Split(string(rows), "\n") {
		if words := strings.Fields(row); len(words) > 0 && words[0] == fmt.Sprint(queue) {
			return true
		}
	}
	return false
}

// Each packet, which pods it is from and to and what each policy says of it: far too much to be written always.
func detailsOnDemand(ctx context.Context) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		setVerbosity("2")
		select {
		case <-ctx.Done():
			return
		case <-time.After(detailed):
		}
		setVerbosity("0")
	}
}

func setVerbosity(level string) {
	var verbosity klog.Level
	if err := verbosity.Set(level); err != nil {
		klog.ErrorS(err, "Cannot change what is written", "level", level)
	}
}
