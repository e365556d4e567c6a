// The graph as numbers: forward, local derivatives and backward, by the rule book and in the order of the engine.

const finite = Number.isFinite;

// An operand that was not chosen (by a row in CHOOSES), or that a flat rule takes, has no edge. Its local derivative is null, and
// nothing is multiplied.
const times = (g, local) => local === null ? 0 : g * local;

class Graph {
	// Nodes come parents first: { kind, text, op, data, group, parents, locals?, frozen? }; the last one is the output.
	constructor(nodes, groups = []) {
		this.nodes = nodes;
		this.groups = groups;
		this.output = nodes.at(-1);
		let unnamed = 0;
		nodes.forEach((n, i) => {
			n.index = i;
			n.uses = [];  // [operation, which of its operands], the latest first
			n.leaf = !n.parents.length;
			n.operands = n.parents.map(p => nodes[p]);
			n.counts = n.kind !== "constant" && n.kind !== "input";
			n.name = n.text.length ? n.text : n.kind === "constant" ? shorten(n.data) : "v" + ++unnamed;
			n.grad = 0;
			n.start = n.data;
			if (!n.locals) this.differentiate(n);
			n.firstLocals = n.locals;
		});
		this.operations = nodes.filter(n => !n.leaf);
		this.end = 2 * this.operations.length;
		this.frozen = nodes.some(n => n.frozen);
		for (const n of [...nodes].reverse()) n.operands.forEach((p, k) => p.counts && p.uses.push([n, k]));
		this.backward();
	}

	// The local derivative by each operand: 0 where that is a constant, null where it has no edge.
	differentiate(n, xs = n.operands.map(p => p.data)) {
		const partials = RULES[n.op];
		if (!partials || n.frozen) return n.locals ??= [];
		if (!partials.map) return n.locals = partials(xs, n.data);
		n.locals = partials.map((d, k) => !n.operands[k].counts ? 0 : d.call ? d(...xs, n.data) : d || null);
		if (CHOOSES.has(n.op)) n.locals = n.locals.map(local => local === 0 ? null : local);
		return n.locals;
	}

	forward() {
		for (const n of this.operations) {
			if (n.frozen) continue;
			const xs = n.operands.map(p => p.data);
			n.data = FLOATS[n.op](...xs);
			this.differentiate(n, xs);
		}
		this.backward();
	}

	// Computes the gradients after so many steps of the backward pass, and how many contributions have arrived at each node.
	backward(steps = Infinity) {
		const { nodes, operations } = this;
		this.steps = steps;
		for (const n of nodes) {
			n.grad = n.arrived = 0;
			n.reached = false;  // from the output, along edges
		}
		this.output.grad = 1;
		this.output.reached = true;
		const until = max(0, operations.length - steps);
		for (let s = operations.length - 1; s >= until; s--) {
			const { operands, locals, grad, reached } = operations[s];
			for (let k = 0; k < operands.length; k++) {
				const parent = operands[k];
				if (!parent.counts) continue;
				parent.arrived++;
				if (!reached || locals[k] === null) continue;
				parent.reached = true;
				parent.grad += grad * locals[k];
			}
		}
		if (steps === Infinity) for (const n of nodes) [n.full, n.open] = [n.grad, n.reached];
	}

	final(n) { return n.arrived === n.uses.length; }

	reset() {
		for (const n of this.nodes) {
			n.data = n.start;
			n.locals = n.firstLocals;
		}
		this.backward();
	}

	// A node that the page cannot compute, this one or one that depends on it, so that changes stop there; null if there is none.
	stuck(n) {
		return this.frozen && [...this.above(n)].find(n => n.frozen) || null;
	}

	// How many paths lead from a node to the output, the sum of their products, and the three largest.
	paths(n) {
		const found = new Map([[this.output, { count: 1n, sum: 1, top: [{ product: 1 }] }]]);
		const size = path => path.product === path.product ? abs(path.product) : Infinity;
		for (const m of this.above(n, true).slice(1)) {
			const mine = { count: 0n, sum: 0, top: [] };
			for (const [c, port] of m.uses) {
				const rest = found.get(c), local = c.open ? c.locals[port] : null;
				mine.count += rest.count;
				mine.sum += times(rest.sum, local);
				for (const r of rest.top) {
					const path = { product: times(r.product, local), local: local ?? 0, to: c, port, rest: r };
					let at = mine.top.length;
					while (at && size(mine.top[at - 1]) < size(path)) at--;
					if (at < 3) mine.top = [...mine.top.slice(0, at), path, ...mine.top.slice(at, 2)];
				}
			}
			found.set(m, mine);
		}
		return found.get(n);
	}

	// This node and all that depend on it, as a set; with `inOrder` as a list that begins with the output.
	above(n, inOrder = false) {
		const seen = new Set([n]);
		for (const m of seen) for (const [c] of m.uses) seen.add(c);
		return inOrder ? [...seen].sort((a, b) => b.index - a.index) : seen;
	}

	// Where it begins that the gradient of a node is zero, not finite, tiny or huge, as a sentence; "" where it is none of these.
	why(n) {
		const g = n.full, name = m => plain(m);
		if (finite(g) && g !== 0 && abs(g) > 1e-7 && abs(g) < 1e7) return "";
		if (!finite(g)) {
			const first = this.operations.find(m => !finite(m.data) && m.operands.every(p => finite(p.data)));
			if (first) return `The first value that is not finite is ${name(first)} = ${equation(first, true)} = ${shorten(first.data)}.`;
			for (const m of this.above(n, true)) for (const [c, port] of m.uses) {
				const local = c.locals[port];
				if (local !== null && !finite(local)) return `It begins at ∂${name(c)}/∂${name(m)} = ${shorten(local)}.`;
			}
			return "It grew beyond the largest number.";
		}
		if (g === 0) {
			if (!n.uses.length) return n === this.output ? "" : "Nothing that leads to the output uses it.";
			const origins = new Set(), seen = new Set([n]);
			for (const m of seen) for (const [c, port] of m.uses) {
				if (times(1, c.locals[port]) === 0) origins.add(`${name(c)} = ${equation(c, true)} has ∂${name(c)}/∂${name(m)} = 0`);
				else if (c.full === 0) seen.add(c);
			}
			const list = [...origins];
			return list.length ? `Nothing flows: ${list.slice(0, 2).join("; ")}${list.length > 2 ? "; …" : ""}.` : "Its contributions cancel.";
		}
		const factors = [];
		for (let at = this.paths(n).top[0]; at?.rest; at = at.rest) factors.push([abs(at.local), at]);
		factors.sort((a, b) => abs(g) < 1 ? a[0] - b[0] : b[0] - a[0]);
		const at = factors[0]?.[1];
		return at ? `The ${abs(g) < 1 ? "smallest" : "largest"} factor on its largest path is ${shorten(at.local)}, at ${name(at.to)}.` : "";
	}
}
