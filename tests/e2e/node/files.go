//go:build e2e

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"embed"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kedacore/http-add-on/tests/e2e/pki"
)

//go:embed all:etc
var etc embed.FS

// writeFiles writes configuration, certificates and kubeconfigs into the node's folder. The
// administrator's kubeconfig is for this machine, where the API server has a port. So has the agent
// of tests/e2e/agent, if one runs: its address is in a file of that name.
func (n *node) writeFiles(listeners []*net.TCPListener) error {
	for _, folder := range []string{"logs", "pki", "containerd", "kubelet"} {
		if err := os.MkdirAll(n.file(folder), 0o755); err != nil {
			return fmt.Errorf("making the node's folder: %w", err)
		}
	}
	err := fs.WalkDir(etc, "etc", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := etc.ReadFile(path)
		if err != nil {
			return err
		}
		return write(n.file(path), content)
	})
	if err != nil {
		return err
	}
	authority, err := pki.NewAuthority()
	if err != nil {
		return err
	}
	key, err := authority.Key()
	if err != nil {
		return err
	}
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generating the key for tokens: %w", err)
	}
	tokens, err := pki.EncodeKey(signer)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"ca.crt": authority.PEM(), "ca.key": key, "sa.key": tokens} {
		if err := write(n.file("pki", name), content); err != nil {
			return err
		}
	}
	const masters = "system:masters"
	for _, c := range []struct {
		name, user, group string
		hosts             []string
	}{
		{"apiserver", "kube-apiserver", "", []string{
			"127.0.0.1", nodeAddress, apiServiceIP, "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local",
		}},
		{"apiserver-kubelet-client", "kube-apiserver-kubelet-client", masters, nil},
		{"front-proxy", "front-proxy", "", nil},
		{"kubelet", "system:node:" + nodeName, "system:nodes", []string{nodeAddress, nodeName}},
	} {
		certificate, key, err := authority.Issue(subject(c.user, c.group), c.hosts...)
		if err != nil {
			return err
		}
		for suffix, content := range map[string][]byte{".crt": certificate, ".key": key} {
			if err := write(n.file("pki", c.name+suffix), content); err != nil {
				return err
			}
		}
	}
	inside := "https://" + net.JoinHostPort(nodeAddress, apiPort)
	for _, k := range []struct{ path, user, group, server string }{
		{n.kubeconfig(), "admin", masters, "https://" + listeners[0].Addr().String()},
		{n.file("pki/kube-controller-manager.kubeconfig"), "system:kube-controller-manager", "", inside},
		{n.file("pki/kube-scheduler.kubeconfig"), "system:kube-scheduler", "", inside},
		{n.file("pki/kube-proxy.kubeconfig"), "system:kube-proxy", "", inside},
		{n.file("pki/kubelet.kubeconfig"), "system:node:" + nodeName, "system:nodes", inside},
	} {
		if err := writeKubeconfig(authority, k.path, k.server, subject(k.user, k.group)); err != nil {
			return err
		}
	}
	if err := write(n.file("defect"), []byte(n.defect+"\n")); err != nil {
		return err
	}
	return write(n.file("agent"), []byte(listeners[1].Addr().String()+"\n"))
}

func subject(user, group string) pkix.Name {
	name := pkix.Name{CommonName: user}
	if group != "" {
		name.Organization = []string{group}
	}
	return name
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

func writeKubeconfig(authority *pki.Authority, path, server string, user pkix.Name) error {
	certificate, key, err := authority.Issue(user)
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["e2e"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: authority.PEM()}
	config.AuthInfos["user"] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts["e2e"] = &clientcmdapi.Context{Cluster: "e2e", AuthInfo: "user"}
	config.CurrentContext = "e2e"
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}
