package main

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	networkinginformers "k8s.io/client-go/informers/networking/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/tools/cache"
)

// A pod of this node that nobody knows is in this namespace, which no real one can be.
const stranger = "-"

// Longer than a clock tick, by which two changes of a folder can look like one.
const tick = time.Second

// Pods as upstream's controller sees them. Of an address of this node the container runtime's record says whose it
// is: it is written before anything runs in the pod and goes before the address is given to another, while the API
// server hears of both later.
type knownPods struct {
	coreinformers.PodInformer
	made *made
}

func (p knownPods) Informer() cache.SharedIndexInformer {
	return podInformer{p.PodInformer.Informer(), p.made}
}

type podInformer struct {
	cache.SharedIndexInformer
	made *made
}

// Upstream's handlers only keep its rules, which are not used.
func (podInformer) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return nil, nil
}

func (p podInformer) GetIndexer() cache.Indexer {
	return podIndexer{p.SharedIndexInformer.GetIndexer(), p.made}
}

type podIndexer struct {
	cache.Indexer
	made *made
}

func (p podIndexer) ByIndex(index, value string) ([]interface{}, error) {
	address, err := netip.ParseAddr(value)
	if err == nil && p.made.local.Contains(address) {
		return []interface{}{p.local(address)}, nil
	}
	found, err := p.Indexer.ByIndex(index, value)
	alive := []interface{}{}
	for _, one := range found {
		// The address of a pod that is over may be another's.
		if pod := one.(*v1.Pod); pod.Status.Phase != v1.PodSucceeded && pod.Status.Phase != v1.PodFailed {
			alive = append(alive, pod)
		}
	}
	return alive, err
}

// The pod of this node with that address. Never nil: the unknown one may nothing.
func (p podIndexer) local(address netip.Addr) *v1.Pod {
	owner, ok := p.made.owner(address)
	if ok {
		found, there, err := p.Indexer.GetByKey(owner.namespace + "/" + owner.name)
		if err == nil && there {
			pod := found.(*v1.Pod)
			if owner.uid == "" || owner.uid == string(pod.UID) {
				return pod
			}
		}
	}
	return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: stranger}}
}

// NetworkPolicies as upstream's controller sees them: strangers have one that allows nothing.
type knownPolicies struct {
	networkinginformers.NetworkPolicyInformer
}

func (p knownPolicies) Informer() cache.SharedIndexInformer {
	return podInformer{p.NetworkPolicyInformer.Informer(), nil}
}

func (p knownPolicies) Lister() networkinglisters.NetworkPolicyLister {
	return policyLister{p.NetworkPolicyInformer.Lister()}
}

type policyLister struct {
	networkinglisters.NetworkPolicyLister
}

func (p policyLister) NetworkPolicies(namespace string) networkinglisters.NetworkPolicyNamespaceLister {
	inside := p.NetworkPolicyLister.NetworkPolicies(namespace)
	if namespace != stranger {
		return inside
	}
	return strangersPolicies{inside}
}

type strangersPolicies struct {
	networkinglisters.NetworkPolicyNamespaceLister
}

func (strangersPolicies) List(labels.Selector) ([]*networkingv1.NetworkPolicy, error) {
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	return []*networkingv1.NetworkPolicy{{
		ObjectMeta: metav1.ObjectMeta{Namespace: stranger, Name: "nothing"},
		Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: both},
	}}, nil
}

// Who has an address, by what the container runtime has written of it.
type owner struct {
	namespace, name, uid string
}

type made struct {
	folder string
	local  netip.Prefix

	lock    sync.Mutex
	owners  map[netip.Addr]owner
	changed time.Time
}

// Whose the address is. What is not known is looked for anew each time.
func (m *made) owner(address netip.Addr) (owner, bool) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if state, err := os.Stat(m.folder); err == nil {
		at := state.ModTime()
		if !at.Equal(m.changed) || time.Since(at) < tick {
			m.read()
			m.changed = at
		}
	} else {
		m.owners = nil
	}
	found, ok := m.owners[address]
	if !ok {
		m.read()
		found, ok = m.owners[address]
	}
	return found, ok
}

// libcni's record of a network that was made; the pod's names are among the runtime's arguments.
type record struct {
	Arguments [][2]string `json:"cniArgs"`
	Result    struct {
		IPs []struct {
			Address string `json:"address"`
		} `json:"ips"`
	} `json:"result"`
}

func (m *made) read() {
	m.owners = map[netip.Addr]owner{}
	since := map[netip.Addr]time.Time{}
	files, _ := filepath.Glob(filepath.Join(m.folder, "*"))
	for _, file := range files {
		content, err := os.ReadFile(file)
		state, gone := os.Stat(file)
		var one record
		if err != nil || gone != nil || json.Unmarshal(content, &one) != nil {
			continue // gone meanwhile, or half written: whose it is, is not known
		}
		words := map[string]string{}
		for _, pair := range one.Arguments {
			words[pair[0]] = pair[1]
		}
		pod := owner{words["K8S_POD_NAMESPACE"], words["K8S_POD_NAME"], words["K8S_POD_UID"]}
		for _, ip := range one.Result.IPs {
			prefix, err := netip.ParsePrefix(ip.Address)
			// After a boot there may be records of pods that had the address before.
			if at := prefix.Addr(); err == nil && state.ModTime().After(since[at]) {
				m.owners[at], since[at] = pod, state.ModTime()
			}
		}
	}
}
