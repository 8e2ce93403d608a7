package main

import (
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// clientConfig is that of our own clients, which are not to be slowed down.
func clientConfig(url string, k keys) *rest.Config {
	return &rest.Config{
		Host:               url,
		TLSClientConfig:    rest.TLSClientConfig{CAData: k.ca, CertData: k.adminCert, KeyData: k.adminKey},
		UserAgent:          "kubebox",
		DisableCompression: true,
		QPS:                -1,
	}
}

// protobuf is for clients that know only types of Kubernetes.
func protobuf(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	return config
}

// writeKubeconfig writes what the admin needs, keys included, so that the file works
// from everywhere.
func writeKubeconfig(name, url string, k keys) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["kubebox"] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: k.ca}
	config.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: k.adminCert, ClientKeyData: k.adminKey}
	config.Contexts["kubebox"] = &clientcmdapi.Context{Cluster: "kubebox", AuthInfo: "admin"}
	config.CurrentContext = "kubebox"
	text, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return replace(name, text)
}
