package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// ForwardOptions are the options of a port-forward.
type ForwardOptions struct {
	Namespace string // defaults to the client's namespace
	// Service or Pod is the target. For a Service, each connection goes to the newest ready pod at that time, so that the
	// port-forward continues to work after a pod ends.
	Service, Pod string
	Port         int // of the Service or the pod
	// Listen is the local address; it defaults to 127.0.0.1:0. Everyone who can connect to it has access to the target.
	Listen string
	// OnError is called with the error of each failed connection. It may be nil.
	OnError func(error)
}

// Forwarded is a running port-forward. The caller must call Close.
type Forwarded struct {
	c        *Client
	o        ForwardOptions
	upgrade  *http.Client
	listener net.Listener
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// restartWait is how long a new connection waits for a pod, which may be restarting.
const restartWait = 30 * time.Second

// Forward listens on a local port and forwards connections to the target, until ctx ends or Close is called. It returns an error
// immediately if the target does not exist.
func (c *Client) Forward(ctx context.Context, o ForwardOptions) (*Forwarded, error) {
	o.Namespace, o.Listen = orElse(o.Namespace, c.namespace), orElse(o.Listen, "127.0.0.1:0")
	f := &Forwarded{c: c, o: o}
	if _, err := f.target(ctx); err != nil {
		return nil, err
	}
	var err error
	if f.upgrade, err = c.upgrader(); err != nil {
		return nil, err
	}
	if f.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen); err != nil {
		return nil, err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.running.Go(func() { f.serve(ctx) })
	f.running.Go(func() {
		<-ctx.Done()
		_ = f.listener.Close()
	})
	return f, nil
}

// Address returns the local address, HOST:PORT.
func (f *Forwarded) Address() string { return f.listener.Addr().String() }

// Close stops the port-forward and closes all its connections.
func (f *Forwarded) Close() {
	f.cancel()
	f.running.Wait()
}

// upgrader returns an HTTP client for upgrades. It is limited to HTTP/1.1, because HTTP/2 does not support upgrades.
func (c *Client) upgrader() (*http.Client, error) {
	cfg := rest.CopyConfig(c.rest)
	cfg.NextProtos = []string{"http/1.1"}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	client.CheckRedirect = c.http.CheckRedirect
	return client, nil
}

// serve accepts connections until the listener is closed, and returns when all connections have ended.
func (f *Forwarded) serve(ctx context.Context) {
	var connections sync.WaitGroup
	defer connections.Wait()
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return // closed
		}
		connections.Go(func() {
			defer conn.Close()
			if err := f.carry(ctx, conn); err != nil && ctx.Err() == nil && f.o.OnError != nil {
				f.o.OnError(err)
			}
		})
	}
}

// carry connects to the target and copies data in both directions until the connection ends.
func (f *Forwarded) carry(ctx context.Context, local net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = local.Close() })()
	remote, err := f.connect(ctx)
	if err != nil {
		return err
	}
	defer remote.Close()
	defer context.AfterFunc(ctx, func() { remote.Close() })()
	var sent sync.WaitGroup
	sent.Go(func() {
		_, _ = io.Copy(remote.data, local) // the other direction reports errors
		_ = remote.data.Close()            // close only this direction: a response may still arrive
	})
	_, err = io.Copy(local, remote.data)
	_ = local.Close()
	sent.Wait()
	return errors.Join(err, remote.problem())
}

// connect connects to the target. It retries for restartWait, unless port-forwards are forbidden.
func (f *Forwarded) connect(ctx context.Context) (*channel, error) {
	deadline := time.Now().Add(restartWait)
	for {
		remote, err := f.dial(ctx)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil || Code(err) == http.StatusForbidden {
			return remote, err
		}
		if err := pause(ctx, 500*time.Millisecond); !errors.Is(err, errLater) {
			return nil, err
		}
	}
}

// dial finds the target and connects to it once.
func (f *Forwarded) dial(ctx context.Context) (*channel, error) {
	t, err := f.target(ctx)
	if err != nil {
		return nil, err
	}
	return f.c.openChannel(ctx, f.upgrade, ObjectPath("v1", f.o.Namespace, "pods", t.pod)+"/portforward", t.port)
}

// destination is a port of a pod.
type destination struct {
	pod  string
	port int
}

// target returns the current destination.
func (f *Forwarded) target(ctx context.Context) (destination, error) {
	if f.o.Pod != "" {
		return destination{f.o.Pod, f.o.Port}, f.c.get(ctx, ObjectPath("v1", f.o.Namespace, "pods", f.o.Pod), nil, &struct{}{})
	}
	var s service
	if err := f.c.get(ctx, ObjectPath("v1", f.o.Namespace, "services", f.o.Service), nil, &s); err != nil {
		return destination{}, err
	}
	if len(s.Spec.Selector) == 0 {
		return destination{}, fmt.Errorf("the Service %s has no selector: forward to a pod instead", f.o.Service)
	}
	query := url.Values{"labelSelector": {selector(s.Spec.Selector)}}
	var pods struct {
		Items []portPod `json:"items"`
	}
	if err := f.c.get(ctx, CollectionPath("v1", f.o.Namespace, "pods"), query, &pods); err != nil {
		return destination{}, err
	}
	p := choose(pods.Items)
	if p == nil {
		return destination{}, fmt.Errorf("the Service %s has no running pod", f.o.Service)
	}
	return destination{p.Metadata.Name, s.port(f.o.Port, p)}, nil
}

// service has the relevant fields of a Service.
type service struct {
	Spec struct {
		Selector map[string]string `json:"selector"`
		Ports    []struct {
			Port       int `json:"port"`
			TargetPort any `json:"targetPort"` // a number, or the name of a container's port
		} `json:"ports"`
	} `json:"spec"`
}

// portPod is a pod with its container ports.
type portPod struct {
	Pod
	Spec struct {
		Containers []struct {
			Ports []struct {
				Name          string `json:"name"`
				ContainerPort int    `json:"containerPort"`
			} `json:"ports"`
		} `json:"containers"`
	} `json:"spec"`
}

// choose returns the newest ready pod, or else the newest running one; nil if there is none.
func choose(pods []portPod) *portPod {
	var best *portPod
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase != "Running" || p.Metadata.DeletionTimestamp != nil {
			continue
		}
		if best == nil || ready(&p.Pod) && !ready(&best.Pod) ||
			ready(&p.Pod) == ready(&best.Pod) && p.Metadata.CreationTimestamp.After(best.Metadata.CreationTimestamp) {
			best = p
		}
	}
	return best
}

// port returns the port of the pod for a port of the Service.
func (s *service) port(wanted int, p *portPod) int {
	for _, port := range s.Spec.Ports {
		if port.Port != wanted {
			continue
		}
		switch to := port.TargetPort.(type) {
		case float64:
			return int(to)
		case string:
			if n := p.named(to); n != 0 {
				return n
			}
		}
	}
	return wanted
}

// named returns the container port with the given name or number; 0 if there is none.
func (p *portPod) named(name string) int {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	n, _ := strconv.Atoi(strings.TrimSpace(name))
	return n
}
