// Where boxes and edges go: the layered layout of layout.py, which explains it, in the same steps.

const GAP = 18, BETWEEN = 7;
const FAR = 60;  // columns: an edge over more takes a lane instead of a slot in each
const most = (list, least = 0) => list.reduce((a, b) => max(a, b), least);
const lists = count => Array.from({ length: count }, () => []);
const backwards = list => [...list].reverse();

// The column of each of `count` blocks: the output is in the last, every other block in the column before its first consumer.
function columns(count, links) {
	const rank = Array(count).fill(0);
	for (const { source, target } of [...links].sort((a, b) => b.target - a.target)) rank[source] = max(rank[source], rank[target] + 1);
	const last = most(rank);
	return rank.map(r => last - r);
}

// The places of blocks { along, across, ports }, and the routes of links { source, target, port, label, strength }.
function arrange(blocks, links, column, gap) {
	const { items, slots } = itemsOf(blocks, links, column), { extent } = items;
	let across = placed(items, ordered(items, firstOrder(items)), gap);
	const low = -most(across.map((y, i) => extent[i] / 2 - y), -Infinity);
	across = across.map(y => y - low);
	const high = most(across.map((y, i) => y + extent[i] / 2)), [start, end, boxRoom] = alongOf(blocks, links, items, across);
	const middles = column.map((c, i) => [end[c] - boxRoom[c] / 2, across[i]]);
	const out = middles.map(([x, y], i) => [[x + blocks[i].along / 2, y], [end[column[i]], y]]), passing = lists(blocks.length);
	const routes = links.map(({ source, target, port }, k) => {
		const y = across[target] + blocks[target].ports[port];
		if (column[target] - column[source] > 1) passing[source].push(k);
		return [...out[source], [start[column[target]], y], [middles[target][0] - blocks[target].along / 2, y]];
	});
	const trunks = [];
	let lanes = 0;
	passing.forEach((using, i) => {
		let c = column[i], points = [...out[i]], lane = 0;
		for (const k of using.sort((a, b) => column[links[a].target] - column[links[b].target])) {
			const until = column[links[k].target] - 1;
			if (until - column[i] >= FAR && !lane) {
				lane = high + BETWEEN * (2 + lanes++ % FAR);
				[c, points] = [column[i], [...out[i]]];
			}
			if (c < until) trunks.push({ source: i, points, links: [] });
			while (c < until) {
				const bend = c + 1;
				c = lane ? until : bend;
				const y = lane || across[slots[i][c - column[i]]];
				points.push([start[bend], y], [end[c], y]);
			}
			points = [points.at(-1), points.at(-1)];
			trunks.at(-1).links.push(k);
			routes[k].splice(0, 2, ...points);
		}
	});
	return { middles, routes, trunks, along: end.at(-1), across: lanes ? high + BETWEEN * (1 + min(lanes, FAR)) : high };
}

// The items of the columns: the blocks, and then the slots of long edges in the columns that they cross. A neighbour is
// [item, share, shift, weight].
function itemsOf(blocks, links, column) {
	const reach = [...column], pull = blocks.map(() => 0.02);
	for (const { source, target, strength } of links) {
		if (column[target] - column[source] <= FAR) reach[source] = max(reach[source], column[target]);
		if (!(strength < 0)) pull[source] = 1;  // a constant must not pull its consumer out of line
	}
	const itemColumn = [...column], extent = blocks.map(b => b.across), slots = reach.map((until, i) => {
		const passed = [i];
		for (let c = column[i] + 1; c < until; c++) passed.push(itemColumn.push(c) - 1);
		return passed;
	});
	const after = itemColumn.map(() => []), before = itemColumn.map(() => []);
	const join = (one, two, share, shift, weight) => { after[one].push([two, share, shift, weight]); before[two].push([one, 0, -shift, weight]); };
	while (extent.length < itemColumn.length) extent.push(0);
	slots.forEach((passed, i) => passed.slice(1).forEach((two, k) => join(passed[k], two, 0, 0, pull[i] * (k ? 8 : 1))));
	for (const { source, target, port } of [...links].sort((a, b) => a.port - b.port)) {
		const length = column[target] - column[source];
		if (length > FAR) continue;
		const one = slots[source][length - 1], { ports } = blocks[target];
		join(one, target, (port + 0.5) / ports.length - 0.5, ports[port], pull[source] * (one === source ? 1 : 4));
	}
	return { items: { blocks: blocks.length, column: itemColumn, extent, after, before }, slots };
}

// Where the straight stretch of each column starts and ends, and the room of its boxes.
function alongOf(blocks, links, { column, before }, across) {
	const count = most(column) + 1, boxRoom = Array(count).fill(0), labelRoom = [...boxRoom], steep = [...boxRoom];
	blocks.forEach((b, i) => { boxRoom[column[i]] = max(boxRoom[column[i]], b.along); });
	for (const { target, label } of links) labelRoom[column[target]] = max(labelRoom[column[target]], label);
	column.forEach((c, i) => { for (const [other, , shift] of before[i]) steep[c] = max(steep[c], abs(across[i] - shift - across[other])); });
	const start = [], end = [];
	let at = 0;
	for (let c = 0; c < count; c++) {
		at += c ? 34 + min(0.16 * steep[c], 110) : 0;  // steep curves need more room
		start.push(at);
		at += labelRoom[c] + boxRoom[c];
		end.push(at);
	}
	return [start, end, boxRoom];
}

function firstOrder({ blocks, column, before }) {  // depth first from the output to the leaves, port by port
	const order = lists(most(column) + 1), seen = new Set();
	for (let block = blocks - 1; block >= 0; block--) {
		const stack = [block];
		while (stack.length) {
			const item = stack.pop();
			if (seen.has(item)) continue;
			seen.add(item);
			order[column[item]].push(item);
			stack.push(...backwards(before[item]).map(near => near[0]));
		}
	}
	return order;
}

function ordered({ column, after, before }, order) {  // sorts by the mean or median of neighbours, in one column and later in both; keeps the order with the fewest crossings
	const n = column.length, both = after.map((near, i) => [...near, ...before[i]]), place = [], copy = from => from.map(row => [...row]);
	const take = row => row.forEach((item, k) => { place[item] = k; });
	order.forEach(take);
	const first = copy(order);
	let best = first, fewest = crossingsOf(order, after, place, Infinity);
	for (let begin = 0; begin < (n < 250 ? 3 : n < 600 ? 2 : 1); begin++) {  // by the mean from the right or the left, by the median
		order = copy(first);
		order.forEach(take);
		for (let sweep = 0, since = 0; sweep < (n < 150 ? 24 : n < 600 ? 12 : n < 3000 ? 6 : 2) && fewest && since < 6; sweep++) {
			const back = (sweep + begin) % 2 === 0, near = sweep > 2 ? both : back ? after : before;
			for (const row of back ? backwards(order) : order) {
				const wanted = new Map(row.map(i => [i, middle(near[i].map(([o, share]) => place[o] + share), place[i], begin < 2)]));
				take(row.sort((a, b) => wanted.get(a) - wanted.get(b)));
			}
			for (let t = 0; t < (n < 600 ? 4 : 0) && swapNeighbours(order, after, before, place); t++);
			const crossings = crossingsOf(order, after, place, fewest);
			since++;
			if (crossings < fewest) [best, fewest, since] = [copy(order), crossings, 0];
		}
	}
	return best;
}

function middle(places, own, mean) {  // the mean, or the median with the mean as a tie breaker; `own` of none
	if (!places.length) return own;
	const average = places.reduce((a, b) => a + b, 0) / places.length, half = places.length >> 1;
	if (mean) return average;
	places.sort((a, b) => a - b);
	const median = places.length % 2 ? places[half] : (places[half - 1] + places[half]) / 2;
	return median + 1e-3 * (average - median);
}

function crossingsOf(order, after, place, stop) {
	let total = 0;
	for (const row of order) {
		const met = [];
		for (const item of row) for (const end of after[item].map(([o, share]) => place[o] + share).sort((a, b) => a - b)) {
			let low = 0, high = met.length;
			while (low < high) {
				const middle = (low + high) >> 1;
				if (met[middle] > end) high = middle;
				else low = middle + 1;
			}
			total += met.length - low;
			met.splice(low, 0, end);
		}
		if (total >= stop) break;
	}
	return total;
}

function swapNeighbours(order, after, before, place) {  // where that takes crossings away; returns whether any were swapped
	let swapped = false;
	for (const row of order) for (let k = 0; k + 1 < row.length; k++) {
		const [a, b] = row.slice(k, k + 2);
		let gain = 0;
		for (const near of [after, before]) {
			if (near[a].length * near[b].length > 4096) continue;
			for (const [o, share] of near[a]) for (const [p, other] of near[b]) gain += Math.sign(place[o] + share - (place[p] + other));
		}
		if (gain <= 0) continue;
		[row[k], row[k + 1], place[a], place[b]] = [b, a, k + 1, k];
		swapped = true;
	}
	return swapped;
}

function placed({ blocks, extent, after, before }, order, gap) {  // least squares: each item as near to where its edges would be straight as the order allows
	const n = extent.length, both = after.map((near, i) => [...near, ...before[i]]), across = Array(n).fill(0);
	const rows = order.map(row => {
		const steps = [0];
		row.forEach((b, k) => {
			const a = row[k - 1], room = a < blocks && b < blocks ? gap : a >= blocks && b >= blocks ? BETWEEN : 0.6 * gap;
			if (k) steps.push(steps[k - 1] + (extent[a] + extent[b]) / 2 + room);
		});
		row.forEach((item, k) => { across[item] = steps[k] - steps.at(-1) / 2; });
		return [row, steps];
	});
	const rounds = n < 150 ? 40 : n < 600 ? 10 : n < 3000 ? 6 : 3;
	for (let turn = 0; turn < rounds; turn++) {
		const back = turn % 2 === 0, near = turn >= rounds - 2 ? both : back ? after : before;
		for (const [row, steps] of back ? backwards(rows) : rows) {
			const pools = [];  // pools of adjacent violators: [mean, weight, count]
			row.forEach((item, k) => {
				let weight = 0, pull = 0;
				for (const [other, , shift, heavy] of near[item].length ? near[item] : both[item]) {
					weight += heavy;
					pull += heavy * (across[other] + shift);
				}
				let pool = [(weight ? pull / weight : across[item]) - steps[k], weight || 0.1, 1];
				while (pools.length && pools.at(-1)[0] > pool[0]) {
					const [mean, total, count] = pool, [other, heavy, many] = pools.pop();
					pool = [(mean * total + other * heavy) / (total + heavy), total + heavy, count + many];
				}
				pools.push(pool);
			});
			let k = 0;
			for (const [mean, , count] of pools) for (const until = k + count; k < until; k++) across[row[k]] = mean + steps[k];
		}
	}
	return across;
}
const round = x => Math.round(x * 10) / 10;
