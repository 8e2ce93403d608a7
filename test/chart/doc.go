// Package chart tests the Helm chart charts/cuegate, with the libraries of Helm 4 and
// Helm 3. It is a module of its own, so that what it needs stays out of the product's.
//
// The plain manifests deploy/install-*.yaml are rendered from the chart:
//
//	go -C test/chart test -update
package chart
