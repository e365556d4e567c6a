// The window on the picture: it scrolls like any other element, zooms, and is moved by mouse and fingers.

class View {
	constructor(box, svg, moved) {
		Object.assign(this, { box, svg, moved, scale: 1, extent: [1, 1] });
		on(box, "scroll", moved, { passive: true });
		on(box, "wheel", ev => {  // the wheel scrolls; with Ctrl it zooms
			if (!ev.ctrlKey && !ev.metaKey) return;
			ev.preventDefault();
			this.zoom(ev.deltaY < 0 ? 1.1 : 1 / 1.1, ev.clientX, ev.clientY);
		}, { passive: false });
		this.byMouse();
		this.byFingers();
		new ResizeObserver(() => this.resize()).observe(box.parentElement);
	}

	byMouse() {
		const { box } = this;
		let drag = null;
		on(box, "pointerdown", ev => {
			this.dragged = false;
			if (ev.pointerType === "mouse" && !ev.button) drag = { x: ev.clientX, y: ev.clientY, left: box.scrollLeft, top: box.scrollTop };
		});
		on(box, "pointermove", ev => {
			if (!drag || !ev.buttons) return drag = null;
			const dx = ev.clientX - drag.x, dy = ev.clientY - drag.y;
			if (!this.dragged && Math.hypot(dx, dy) < 5) return;
			if (!this.dragged) box.setPointerCapture(ev.pointerId);
			this.dragged = true;
			box.scrollLeft = drag.left - dx;
			box.scrollTop = drag.top - dy;
		});
		on(box, "pointerup pointercancel", () => { drag = null; });
	}

	byFingers() {
		let apart = 0;
		const distance = ([a, b]) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
		on(this.box, "touchstart", ev => { apart = ev.touches.length === 2 ? distance(ev.touches) : 0; }, { passive: true });
		on(this.box, "touchmove", ev => {
			if (ev.touches.length !== 2 || !apart) return;
			if (ev.cancelable) ev.preventDefault();
			const now = distance(ev.touches), [a, b] = ev.touches;
			this.zoom(now / apart, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
			apart = now;
		}, { passive: false });
	}

	set(extent) {
		this.extent = extent;
		this.svg.setAttribute("viewBox", `0 0 ${extent[0]} ${extent[1]}`);
		this.resize();
	}

	resize() {
		const [w, h] = this.extent, { box, svg, scale } = this;
		svg.setAttribute("width", w * scale);
		svg.setAttribute("height", h * scale);
		box.style.height = max(120, min(h * scale, this.tall())) + (w * scale > box.clientWidth ? 16 : 0) + 2 + "px";
		this.moved();
	}

	tall() { return max(innerWidth > 660 ? 680 : 480, 0.74 * innerHeight); }

	rectangle() {
		const { box, scale } = this;
		return [box.scrollLeft / scale, box.scrollTop / scale, box.clientWidth / scale, box.clientHeight / scale];
	}

	zoom(by, clientX, clientY) {
		const { box } = this, r = box.getBoundingClientRect(), x = (clientX ?? r.left + r.width / 2) - r.left, y = (clientY ?? r.top + r.height / 2) - r.top;
		const scale = max(0.1, min(this.scale * by, 4)), grown = scale / this.scale, left = (box.scrollLeft + x) * grown - x, top = (box.scrollTop + y) * grown - y;
		this.scale = scale;
		this.resize();
		box.scrollLeft = left;
		box.scrollTop = top;
	}

	fit() {
		const [w, h] = this.extent;
		this.scale = min(1, this.box.clientWidth / w, this.tall() / h);
		this.resize();
	}

	reveal({ x, y, w, h }) {
		const { box, scale } = this, within = (at, half, from, length) => min(max(from, (at + half + 12) * scale - length), (at - half - 12) * scale);
		box.scrollLeft = within(x, w / 2, box.scrollLeft, box.clientWidth);
		box.scrollTop = within(y, h / 2, box.scrollTop, box.clientHeight);
	}
}
