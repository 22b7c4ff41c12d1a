package engine

// lru is a map of at most cap entries, ordered by use. Looking up a []byte key allocates nothing.
type lru[V any] struct {
	cap  int
	m    map[string]*node[V]
	root node[V] // root.next is the most, root.prev the least recently used
}

type node[V any] struct {
	key        string
	prev, next *node[V]
	v          V
}

func newLRU[V any](capacity int) *lru[V] {
	l := &lru[V]{cap: max(capacity, 1), m: make(map[string]*node[V])}
	l.root.prev, l.root.next = &l.root, &l.root
	return l
}

func (l *lru[V]) len() int { return len(l.m) }

// get returns the entry and makes it the most recently used; nil if there is none.
func (l *lru[V]) get(key []byte) *node[V] {
	if n := l.root.next; n != &l.root && n.key == string(key) {
		return n
	}
	n := l.m[string(key)]
	if n != nil {
		l.touch(n)
	}
	return n
}

// peek is get without use.
func (l *lru[V]) peek(key string) *node[V] {
	if n := l.root.next; n != &l.root && n.key == key { // that of the tenant before, mostly
		return n
	}
	return l.m[key]
}

// add makes a new most recently used entry; the key must not be there. It reports whether another had to go for it.
func (l *lru[V]) add(key string) (n *node[V], evicted bool) {
	if len(l.m) >= l.cap {
		l.remove(l.root.prev)
		evicted = true
	}
	n = &node[V]{key: key}
	l.m[key] = n
	l.front(n)
	return n, evicted
}

func (l *lru[V]) remove(n *node[V]) {
	delete(l.m, n.key)
	n.prev.next, n.next.prev = n.next, n.prev
}

// oldest is the least recently used entry, nil if there is none.
func (l *lru[V]) oldest() *node[V] {
	if len(l.m) == 0 {
		return nil
	}
	return l.root.prev
}

// each calls f for every entry, least recently used first: adding them to an empty lru in this order restores it.
func (l *lru[V]) each(f func(*node[V])) {
	for n := l.root.prev; n != &l.root; n = n.prev {
		f(n)
	}
}

func (l *lru[V]) touch(n *node[V]) {
	if l.root.next == n {
		return
	}
	n.prev.next, n.next.prev = n.next, n.prev
	l.front(n)
}

func (l *lru[V]) front(n *node[V]) {
	n.prev, n.next = &l.root, l.root.next
	n.prev.next, n.next.prev = n, n
}
