package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rayorch/rayorch/internal/backend/kube"
)

type dashboardOptions struct {
	source    sourceOptions
	cluster   string
	address   string
	port      int
	noBrowser bool
	// stackName and service are of a deployment on AWS.
	stackName, service string
}

func (a *app) dashboardCommand() *cobra.Command {
	var o dashboardOptions
	c := &cobra.Command{
		Use:   "dashboard [PIPELINE]",
		Short: "open the dashboard of a Ray cluster in Kubernetes",
		Long: "dashboard finds the head of a pipeline's target of kind kubernetes or of a RayCluster (--ray-cluster; the only one in\n" +
			"the namespace by default), forwards a port of 127.0.0.1 to it, and opens the browser: $BROWSER, else the desktop's.\n" +
			"When the head restarts, the forward goes on with the new one. Ctrl-C ends it.\n\n" +
			"With --aws, or a target of kind aws, the cluster is the one that rayorch deploy went to, reached as its admin role.\n\n" +
			"Whoever reaches the dashboard runs code on the cluster: it listens on this machine only unless --address says\n" +
			"otherwise.",
		Example: "  rayorch dashboard --namespace ray --ray-cluster demo",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.source.path = first(args)
			return a.dashboard(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.source.target, "target", "t", "", "which of the pipeline's targets")
	f.StringVar(&o.source.kube.context, "context", "", "kubeconfig context (default: the target's, else the current one)")
	f.StringVar(&o.source.kube.namespace, "namespace", "", "namespace (default: the target's, else the context's)")
	f.StringVar(&o.cluster, "ray-cluster", "", "name of the RayCluster")
	f.IntVar(&o.port, "port", kube.DashboardPort, "port to listen on; 0 takes a free one, and so does a port in use unless it was named")
	f.StringVar(&o.address, "address", "127.0.0.1", "address to listen on")
	f.StringVar(&o.stackName, "stack-name", "", "the deployed stack's name (aws; default as deploy has it)")
	f.StringVar(&o.service, "ray-service", "", "the service of Ray's head (aws; default the RayCluster's in the namespace, else "+publishedService+")")
	f.BoolVar(&o.noBrowser, "no-browser", false, "only print the address")
	return c
}

// headService is the service that a dashboard is behind.
type headService struct {
	client  *kube.Client
	name    string
	port    int
	secret  string // of a Ray that wants a token
	cluster string
}

func (a *app) dashboard(ctx context.Context, o dashboardOptions) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	h, err := a.findHead(ctx, o)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(o.address); o.address != "localhost" && (ip == nil || !ip.IsLoopback()) {
		a.say("warning: whoever reaches " + o.address + " can run code on the Ray cluster")
	}
	f, err := h.forward(ctx, o, a.onceEach())
	if err != nil {
		return err
	}
	defer f.Close()
	url := "http://" + reachable(f.Address())
	if a.json() {
		err = a.print(map[string]string{"url": url, "namespace": h.client.Namespace(), "service": h.name, "tokenSecret": h.secret})
	} else {
		_, err = fmt.Fprintf(a.out, "the dashboard of %s is at %s\n", cmp.Or(h.cluster, h.name), url)
	}
	if err != nil {
		return err
	}
	if h.secret != "" {
		a.say("it wants a token: kubectl get secret " + h.secret + " -n " + h.client.Namespace() + " -o jsonpath={.data.auth_token} | base64 -d")
	}
	if _, tty := terminalOf(a.out); !o.noBrowser && (tty || os.Getenv("BROWSER") != "" && !a.json()) {
		if err := openBrowser(url); err != nil {
			a.say("no browser could be opened: " + err.Error())
		}
	}
	<-ctx.Done()
	return nil
}

// onceEach says why connections fail, each reason once in a row: a page that is open asks again and again while the head
// restarts.
func (a *app) onceEach() func(error) {
	var mu sync.Mutex
	last := ""
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if text := err.Error(); text != last {
			last = text
			a.say("a connection failed: " + text)
		}
	}
}

// reachable is where this machine reaches an address that was listened on: one that stands for all is none to open.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

// forward takes another port where the usual one is in use; one that the user named is a must.
func (h *headService) forward(ctx context.Context, o dashboardOptions, trouble func(error)) (*kube.Forwarded, error) {
	options := kube.ForwardOptions{Service: h.name, Port: h.port, Trouble: trouble, Listen: net.JoinHostPort(o.address, strconv.Itoa(o.port))}
	f, err := h.client.Forward(ctx, options)
	if errors.Is(err, syscall.EADDRINUSE) {
		if o.port != kube.DashboardPort {
			return nil, fail(exitError, "name another by --port, or 0 for a free one", "listen: %w", err)
		}
		options.Listen = net.JoinHostPort(o.address, "0")
		f, err = h.client.Forward(ctx, options)
	}
	return f, err
}

// findHead finds the head by what was named: a RayCluster, or the target of a pipeline.
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

func isPipeline(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, pipelineFile))
	return err == nil
}

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

func (a *app) targetHead(ctx context.Context, o dashboardOptions) (*headService, error) {
	src, err := a.load(o.source)
	if err != nil {
		return nil, err
	}
	if o.source.target == "" { // the local target is the default elsewhere; here it cannot be meant
		if src.target, err = src.clusterTarget(); err != nil {
			return nil, err
		}
	}
	r, err := src.compile("", "")
	if err != nil {
		return nil, err
	}
	if r.Kind != kindKubernetes {
		return nil, fail(exitUsage, "rayorch ray status shows the Ray of this machine", "the target %s is of kind %s", r.Target, r.Kind)
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

// clusterTarget is the only target of kind kubernetes.
func (s *source) clusterTarget() (string, error) {
	var names []string
	for _, e := range s.pipeline.Targets.Entries {
		if e.Value.Kind == kindKubernetes {
			names = append(names, e.Key)
		}
	}
	if len(names) != 1 {
		return "", fail(exitUsage, "name a RayCluster by --ray-cluster, or a target by --target", "the pipeline has %d targets of kind kubernetes", len(names))
	}
	return names[0], nil
}
