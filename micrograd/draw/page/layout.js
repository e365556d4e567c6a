// Where boxes and edges go: the layered layout of layout.py, ranked from the output. `along` and `across` mean the same as there.

const FAR = 60;  // columns: an edge that spans more runs in a lane below the picture, not through a slot in each column
const most = list => list.reduce((a, b) => max(a, b), 0);

// Gives each box its x and y, each edge its route, and each box the trunk that its long edges share; returns width and height.
function arrange(boxes, edges, down) {
	for (const b of boxes) [b.along, b.across] = down ? [b.h, b.w] : [b.w, b.h];
	for (const b of [...boxes].reverse()) b.rank = most(b.outs.map(e => e.to.rank + 1));
	const end = most(boxes.map(b => b.rank)), items = [];
	const add = (box, column, size) => { const item = { box, column, size, ins: [], outs: [] }; items.push(item); return item; };
	const join = (a, b, shift, part) => { a.outs.push({ o: b, shift, part }); b.ins.push({ o: a, shift: -shift, part: 0 }); };
	for (const b of boxes) b.item = add(b, b.column = end - b.rank, b.across);
	for (const b of boxes) {  // a long edge has a slot in each column that it crosses
		b.slots = [b.item];
		b.near = b.outs.filter(e => e.to.column - b.column <= FAR);
		const until = most(b.near.map(e => e.to.column));
		for (let c = b.column + 1; c < until; c++) {
			b.slots.push(add(null, c, 0));
			join(b.slots.at(-2), b.slots.at(-1), 0, 0);
		}
		for (const e of b.near) join(b.slots[e.to.column - b.column - 1], e.to.item, e.to.ports[e.port], (e.port + 0.5) / e.to.ins.length - 0.5);
	}
	const columns = Array.from({ length: end + 1 }, () => ({ items: [], room: 0, label: down ? 10 : 14 }));
	for (const b of [...boxes].reverse()) firstOrder(b.item, columns);
	const sweep = (times, act) => { for (let t = 0; t < times; t++) for (const c of t % 2 ? columns : [...columns].reverse()) act(c.items, t); };
	uncross(columns, sweep, items.length);
	space(columns, sweep);
	const top = -most(items.map(i => i.size / 2 - i.y)) - 14;
	for (const item of items) {
		item.y -= top;
		if (item.box) columns[item.column].room = max(columns[item.column].room, item.box.along);
	}
	for (const e of edges) if (e.room) columns[e.to.column].label = max(columns[e.to.column].label, down ? 20 : e.room + 12);
	let at = -20;
	columns.forEach((c, k) => {  // steep curves need more room between the columns
		const steep = most(c.items.flatMap(i => i.ins.map(({ o, shift }) => abs(i.y - shift - o.y))));
		c.from = at += k ? 24 + min(0.16 * steep, 110) : 34;
		c.to = at += c.label + c.room;
	});
	for (const b of boxes) {
		const c = columns[b.column];
		if (!b.bare && !down) b.along = b.w = c.room;
		b.position = c.to - c.room / 2;
		[b.x, b.y] = down ? [b.item.y, b.position] : [b.position, b.item.y];
	}
	const bottom = most(items.map(i => i.y + i.size / 2)) + 14, lanes = route(boxes, columns, down, bottom);
	const width = at + 14, height = bottom + (lanes && 7 * lanes + 10);
	return down ? [height, width] : [width, height];
}

function firstOrder(output, columns) {  // from the output to the leaves, port by port
	const stack = [output];
	while (stack.length) {
		const item = stack.pop();
		if (item.place >= 0) continue;
		item.place = columns[item.column].items.push(item) - 1;
		stack.push(...item.ins.map(i => i.o).reverse());
	}
}

function uncross(columns, sweep, count) {  // sorts by the mean place of neighbours, on one side and later on both; keeps the order with the fewest crossings
	let best, fewest = Infinity;
	const keep = () => {
		const crossings = count < 1500 && columns.reduce((sum, c) => sum + crossingsOf(c.items), 0);  // where counting takes too long, the last order is kept
		if (crossings <= fewest) [best, fewest] = [columns.map(c => [...c.items]), crossings];
	};
	keep();
	sweep(count < 900 ? 12 : 3, (list, t) => {
		for (const item of list) {
			const near = t > 3 ? [...item.ins, ...item.outs] : t % 2 ? item.ins : item.outs;
			item.want = near.length ? near.reduce((sum, i) => sum + i.o.place + i.part, 0) / near.length : item.place;
		}
		list.sort((a, b) => a.want - b.want).forEach((item, k) => { item.place = k; });
		if (list === (t % 2 ? columns.at(-1) : columns[0]).items) keep();
	});
	columns.forEach((c, k) => { c.items = best[k]; });
}

function crossingsOf(list) {
	let ends = list.flatMap(item => item.outs.map(e => e.o.place + e.part).sort((a, b) => a - b)), met = [], total = 0;
	for (const end of ends) {
		let low = 0, high = met.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (met[middle] > end) high = middle;
			else low = middle + 1;
		}
		total += met.length - low;
		met.splice(low, 0, end);
	}
	return total;
}

function space(columns, sweep) {  // least squares with that order kept, by pooling adjacent violators
	for (const { items: list } of columns) {
		let y = 0;
		list.forEach((item, k) => {
			const above = list[k - 1];
			if (k) y += (above.size + item.size) / 2 + (above.box && item.box ? 18 : above.box || item.box ? 11 : 7);
			item.floor = y;
		});
		for (const item of list) item.y = item.floor - y / 2;
	}
	sweep(10, (list, t) => {
		const pools = [];
		for (const item of list) {
			let sum = 0, weight = 0, near = t % 2 ? item.ins : item.outs;
			if (t > 7 || !near.length) near = [...item.ins, ...item.outs];
			for (const { o, shift } of near) {
				const w = 1 + (item.box ? 0 : 3) + (o.box ? 0 : 3);
				weight += w;
				sum += w * (o.y + shift);
			}
			let pool = { mean: (weight ? sum / weight : item.y) - item.floor, weight: weight || 0.1, list: [item] };
			while (pools.length && pools.at(-1).mean > pool.mean) {
				const other = pools.pop(), w = other.weight + pool.weight;
				pool = { mean: (other.mean * other.weight + pool.mean * pool.weight) / w, weight: w, list: other.list.concat(pool.list) };
			}
			pools.push(pool);
		}
		for (const pool of pools) for (const item of pool.list) item.y = pool.mean + item.floor;
	});
}

// The long edges of a box share one trunk through the columns. An edge's own line is only the rest, from trunk or box to its port.
function route(boxes, columns, down, bottom) {
	let lanes = 0;
	const at = (along, across) => down ? `${round(across)} ${round(along)}` : `${round(along)} ${round(across)}`;
	const curve = (from, y, to, z) => `C${at((from + to) / 2, y)} ${at((from + to) / 2, z)} ${at(to, z)}`;
	for (const b of boxes) {
		const first = columns[b.column].to, y = b.item.y, start = `M${at(b.position + b.along / 2, y)}L${at(first, y)}`;
		b.trunk = b.slots.slice(1).map((slot, k) => {
			const before = b.slots[k], c = columns[slot.column];
			return { edges: [], d: (k ? `M${at(columns[before.column].to, before.y)}` : start) + curve(columns[before.column].to, before.y, c.from, slot.y) + `L${at(c.to, slot.y)}` };
		});
		const lane = b.near.length < b.outs.length ? bottom + 7 * (lanes++ % FAR) : 0, far = lane && { edges: [] };
		for (const e of b.outs) {
			const k = e.to.column - b.column - 1, from = columns[e.to.column - 1].to, z = k < FAR ? b.slots[k].y : lane, c = columns[e.to.column];
			e.across = e.to.item.y + e.to.ports[e.port];
			e.along = e.to.position - e.to.along / 2;
			[e.x, e.y] = down ? [e.across, e.along] : [e.along, e.across];
			e.d = (k ? `M${at(from, z)}` : start) + curve(from, z, c.from, e.across) + `L${at(e.along, e.across)}`;
			if (k >= FAR) far.edges.push(e);
			else if (k) b.trunk[k - 1].edges.push(e);
		}
		if (far) {
			far.d = start + curve(first, y, columns[b.column + 1].from, lane) + `L${at(columns[most(far.edges.map(e => e.to.column)) - 1].to, lane)}`;
			b.trunk.push(far);
		}
	}
	return min(lanes, FAR);
}
const round = x => Math.round(x * 10) / 10;
