package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	servlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	schema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

// serve runs a Temporal server with one SQLite file until it receives SIGTERM or an interrupt.
func serve(port int, file, journal string) error {
	db := &config.SQL{PluginName: sqlite.PluginName, DatabaseName: file, ConnectAttributes: map[string]string{"mode": "rwc"}}
	if journal != "" {
		db.ConnectAttributes["journal_mode"], db.ConnectAttributes["synchronous"] = journal, "full"
	}
	if err := schema.SetupSchema(db); err != nil {
		return fmt.Errorf("create the tables: %w", err)
	}
	ns, err := schema.NewNamespaceConfig(clusterName, namespace, false, nil)
	if err == nil {
		err = schema.CreateNamespaces(db, ns)
	}
	if err != nil {
		return fmt.Errorf("create the namespace: %w", err)
	}
	server, err := temporal.NewServer(temporal.WithConfig(settings(port, db)), temporal.ForServices(temporal.DefaultServices),
		temporal.WithLogger(servlog.NewNoopLogger()))
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, os.Interrupt)
	<-ended
	return server.Stop()
}

const clusterName = "one"

// settings returns the configuration of a cluster with one process. Other settings keep the server's defaults.
func settings(port int, db *config.SQL) *config.Config {
	c := &config.Config{}
	c.Global.Membership.MaxJoinDuration, c.Global.Membership.BroadcastAddress = 30*time.Second, "127.0.0.1"
	c.Persistence = config.Persistence{DefaultStore: "db", VisibilityStore: "db", NumHistoryShards: 1,
		DataStores: map[string]config.DataStore{"db": {SQL: db}}}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	c.ClusterMetadata = &cluster.Config{FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
		ClusterInformation: map[string]cluster.ClusterInformation{
			clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address}}}
	c.DCRedirectionPolicy.Policy = "noop"
	c.PublicClient.HostPort = address
	c.Archival.History.State, c.Archival.Visibility.State = "disabled", "disabled"
	c.NamespaceDefaults.Archival.History.State, c.NamespaceDefaults.Archival.Visibility.State = "disabled", "disabled"
	c.Services = map[string]config.Service{}
	for _, name := range temporal.DefaultServices {
		rpc := config.RPC{GRPCPort: freePort(), MembershipPort: freePort(), BindOnLocalHost: true}
		if name == "frontend" {
			rpc.GRPCPort = port
		}
		c.Services[name] = config.Service{RPC: rpc}
	}
	return c
}

// freePort returns an unused port. The server needs fixed port numbers, so another program could take the port before the server does.
func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
