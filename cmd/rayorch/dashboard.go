package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

// dashboardOptions are the flags of dashboard.
type dashboardOptions struct {
	source    sourceOptions
	cluster   string // name of the RayCluster; "" for the target's, or the only one in the namespace
	address   string // to listen on
	port      int    // to listen on; 0 for any free port
	noBrowser bool
	// stackName and service are for a deployment on AWS.
	stackName, service string
}

func dashboardCommand(a *app) *cobra.Command {
	var o dashboardOptions
	c := &cobra.Command{
		Use:   "dashboard [PIPELINE]",
		Short: "open the dashboard of a Ray cluster in Kubernetes",
		Long: "dashboard finds the Ray head of a pipeline's target of kind kubernetes, or of a RayCluster (--ray-cluster, default: the " +
			"only one in the namespace), forwards a port of 127.0.0.1 to it, and opens a browser: $BROWSER, or the desktop's default. If the " +
			"head restarts, the port is forwarded to the new head. Ctrl-C ends the command.\n\n" +
			"With --aws, or with a target of kind aws, the cluster is the one that rayorch deploy used. The command assumes the cluster's " +
			"admin role.\n\n" +
			"Anyone who can reach the dashboard can run code on the Ray cluster. Therefore the command listens on 127.0.0.1 only, unless " +
			"--address is given.",
		Example: "  rayorch dashboard --namespace ray --ray-cluster demo",
		Args:    atMostOneArg,
		RunE: func(c *cobra.Command, args []string) error {
			o.source.path = first(args)
			return a.dashboard(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.source.target, "target", "t", "", "target of the pipeline (default: the only one of kind kubernetes)")
	f.StringVar(&o.source.kube.context, "context", "", "kubeconfig context (default: the target's, else the current one)")
	f.StringVar(&o.source.kube.namespace, "namespace", "", "Kubernetes namespace (default: the target's, else the context's)")
	f.StringVar(&o.cluster, "ray-cluster", "", "name of the RayCluster")
	f.IntVar(&o.port, "port", kube.DashboardPort, "port to listen on; 0 selects a free port, and so does the default if it is in use")
	f.StringVar(&o.address, "address", "127.0.0.1", "address to listen on")
	f.StringVar(&o.stackName, "stack-name", "", deployedStack)
	f.StringVar(&o.service, "ray-service", "", "service of the Ray head (default: that of the only RayCluster in the namespace, else "+publishedService+")")
	markAWS(c, "stack-name", "ray-service")
	f.BoolVar(&o.noBrowser, "no-browser", false, "print the address without opening a browser")
	return c
}

// headService is the Kubernetes service of a Ray head.
type headService struct {
	client  *kube.Client
	name    string
	port    int
	secret  string // with the token, if the Ray requires one
	cluster string
}

// dashboard forwards a port to the Ray head and opens a browser. It runs until Ctrl-C.
func (a *app) dashboard(ctx context.Context, o dashboardOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	h, err := a.findHead(ctx, o)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(o.address); o.address != "localhost" && (ip == nil || !ip.IsLoopback()) {
		a.out.warning("anyone who can reach " + o.address + " can run code on the Ray cluster")
	}
	f, err := h.forward(ctx, o, onceEach(a.out))
	if err != nil {
		return err
	}
	defer f.Close()
	url := "http://" + reachable(f.Address())
	result := map[string]string{"url": url, "namespace": h.client.Namespace(), "service": h.name, "tokenSecret": h.secret}
	err = a.out.result(result, func() { a.out.printf("the dashboard of %s is at %s\n", cmp.Or(h.cluster, h.name), url) })
	if err != nil {
		return err
	}
	if h.secret != "" {
		a.out.sayf("the dashboard requires a token: kubectl get secret %s -n %s -o jsonpath={.data.auth_token} | base64 -d", h.secret, h.client.Namespace())
	}
	if _, tty := terminalOf(a.out.stdout); !o.noBrowser && (tty || os.Getenv("BROWSER") != "" && !a.out.json()) {
		if err := openBrowser(url); err != nil {
			a.out.say("no browser was opened: " + err.Error())
		}
	}
	<-ctx.Done() // the port is forwarded until Ctrl-C
	return nil
}

// onceEach returns a function that prints why a connection failed, unless the last one failed for the same reason: an open page tries
// again and again while the head restarts.
func onceEach(p *printer) func(error) {
	var mu sync.Mutex
	last := ""
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if text := err.Error(); text != last {
			last = text
			p.say("a connection failed: " + text)
		}
	}
}

// reachable returns the address at which this machine reaches a listener: 127.0.0.1 for one that listens on all interfaces.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// forward forwards a port to the head. If the default port is in use it selects a free one; a port that the user named must be free.
func (h *headService) forward(ctx context.Context, o dashboardOptions, trouble func(error)) (*kube.Forwarded, error) {
	options := kube.ForwardOptions{Service: h.name, Port: h.port, OnError: trouble, Listen: net.JoinHostPort(o.address, strconv.Itoa(o.port))}
	f, err := h.client.Forward(ctx, options)
	if errors.Is(err, syscall.EADDRINUSE) {
		if o.port != kube.DashboardPort {
			return nil, fail(exitError, "choose another port with --port, or 0 for a free one", "listen: %w", err)
		}
		options.Listen = net.JoinHostPort(o.address, "0")
		f, err = h.client.Forward(ctx, options)
	}
	return f, err
}

// findHead finds the head of the deployment on AWS, of the RayCluster, or of the pipeline's target, depending on the flags.
func (a *app) findHead(ctx context.Context, o dashboardOptions) (*headService, error) {
	if a.onAWS(o.source) {
		return a.awsHead(ctx, o)
	}
	if o.cluster == "" && (o.source.path != "" || o.source.target != "" || isPipeline(".")) {
		return a.targetHead(ctx, o)
	}
	c, err := a.cluster(o.source.kube.context, o.source.kube.namespace)
	if err != nil {
		return nil, err
	}
	return headOf(ctx, c, o.cluster)
}

// isPipeline reports whether a directory contains a pipeline file.
func isPipeline(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, pipelineFile))
	return err == nil
}

// headOf finds the head of a RayCluster, "" for the only one in the namespace.
func headOf(ctx context.Context, c *kube.Client, name string) (*headService, error) {
	h, err := c.FindHead(ctx, c.Namespace(), name)
	if err != nil {
		return nil, err
	}
	out := &headService{client: c, name: h.Service, port: kube.DashboardPort, cluster: h.Cluster}
	if h.Auth {
		out.secret = h.Cluster
	}
	return out, nil
}

// targetHead finds the head that a pipeline's target submits to: that of its RayCluster, or the service that it names.
func (a *app) targetHead(ctx context.Context, o dashboardOptions) (*headService, error) {
	src, err := a.load(o.source)
	if err != nil {
		return nil, err
	}
	if o.source.target == "" { // the default of other commands, the local target, has no head in a cluster
		if src.target, err = src.clusterTarget(); err != nil {
			return nil, err
		}
	}
	r, err := src.compile("", "")
	if err != nil {
		return nil, err
	}
	if r.Kind != kindKubernetes {
		return nil, fail(exitUsage, "to show the Ray of this machine: rayorch ray status", "the target %s is of kind %s", r.Target, r.Kind)
	}
	c, err := a.cluster(r.Cluster, r.Namespace)
	if err != nil {
		return nil, err
	}
	if h, err := headOf(ctx, c, r.RayCluster); err == nil && h.name == r.Service {
		h.port = r.Port
		return h, nil
	}
	return &headService{client: c, name: r.Service, port: r.Port, cluster: r.RayCluster}, nil
}

// clusterTarget returns the name of the only target of kind kubernetes.
func (s *source) clusterTarget() (string, error) {
	var names []string
	for _, e := range s.pipeline.Targets.Entries {
		if e.Value.Kind == kindKubernetes {
			names = append(names, e.Key)
		}
	}
	if len(names) == 0 {
		return "", fail(exitUsage, "name a RayCluster with --ray-cluster", "the pipeline has no target of kind kubernetes")
	}
	if len(names) > 1 {
		return "", fail(exitUsage, "name a RayCluster with --ray-cluster, or a target with --target: "+strings.Join(names, ", "),
			"the pipeline has %d targets of kind kubernetes", len(names))
	}
	return names[0], nil
}
